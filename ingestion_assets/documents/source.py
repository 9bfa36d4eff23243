"""Source code in, its blocks out: functions and classes whole, with their qualified names.

By lines, as everywhere: a line with two functions on it belongs to the later one.
"""

import re
from time import thread_time

from tree_sitter import Node, Parser, Tree

from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets.documents.languages import Grammar, Role, grammar, language
from ingestion_assets.documents.marks import Marks

_SMALL = 800  # characters of a class that stays whole: about a chunk of the default size
_DEEPEST = 20  # classes and namespaces in one another
_ABOVE = {"comment", "line_comment", "block_comment", "attribute_item", "attribute_list"}
_VALUES = {
    "arrow_function", "function_expression", "function", "generator_function", "class",
    "class_expression",
}  # fmt: skip
_LONGEST_NAME = 200  # characters
_RECEIVER = re.compile(r"(\w+)\s*(?:\[.*)?\)$", re.S)
_WORD = re.compile(r"\w")

# Some texts take a grammar quadratic memory or minutes. The parser asks every hundred steps; of
# 2,700 real files none was further behind than 148 questions, or took longer than 0.2 s.
_STEPS_AT_FIRST = 400
_BYTES_PER_STEP = 50
_SECONDS = 2.0  # of this thread's own time
_PIECE = 65_536  # bytes given to the parser at once


def blocks(media_type: str, text: str) -> list[Block]:
    """The blocks of a program in the language of a media type.

    A function is one SYMBOL with the comments and decorators directly above it; a class is one if
    it is small, else its header and every method are. Everything else is CODE, cut at blank lines:
    so is all of a language without a grammar, and of a text that its grammar cannot cope with.
    """
    marks = Marks(text)
    for first, end in marks.paragraphs():
        marks.mark(BlockKind.CODE, first, end)
    known = grammar(media_type)
    tree = _parsed(text.encode("utf-8", "replace"), known) if known else None
    if known and tree:
        _Symbols(marks, known).mark(tree.root_node, ())
    return marks.blocks()


def _parsed(raw: bytes, known: Grammar) -> Tree | None:
    """None if the text is not worth the time."""
    steps, deadline = 0, thread_time() + _SECONDS

    def is_hopeless(offset: int, _has_error: bool) -> bool:
        nonlocal steps
        steps += 1
        too_many = steps > _STEPS_AT_FIRST + offset / _BYTES_PER_STEP
        return too_many or thread_time() > deadline

    parser = Parser(language(known.module, known.function))
    try:
        return parser.parse(
            lambda offset, _point: raw[offset : offset + _PIECE], progress_callback=is_hopeless
        )
    except ValueError:
        return None


class _Symbols:
    """Marks the lines of what a syntax tree defines; a class before its members."""

    def __init__(self, marks: Marks, known: Grammar) -> None:
        self.marks = marks
        self._roles = known.roles

    def mark(self, node: Node, path: tuple[str, ...], depth: int = 0) -> int:
        """Mark what is defined directly below a node; returns the line after the last, or 0."""
        last = before = 0
        comment = (0, 0)  # lines of the comments that end here
        for child in node.named_children if depth <= _DEEPEST else ():
            first, end = _lines(child)
            if child.type not in _ABOVE:
                start = comment[0] if comment[1] == first else first
                last = self._define(child, start, end, path, depth) or last
                before = end
            elif first >= before:  # else it stands behind the code on its line
                comment = (comment[0] if comment[1] == first else first, end)
        return last

    def _define(self, outer: Node, first: int, end: int, path: tuple[str, ...], depth: int) -> int:
        node = self._unwrapped(outer)
        role = self._roles.get(node.type)
        body = node.child_by_field_name("body") or node
        if role is Role.GROUP:
            return self.mark(node, path, depth + 1)
        own = (*path, name) if (name := _name(node, role)) else path
        if role is Role.SPACE:
            return self.mark(body, own, depth + 1)
        if not self._is_symbol(node, role, named=own != path):
            return 0
        self.marks.mark(BlockKind.SYMBOL, first, end, title=".".join(own))
        if role is Role.CLASS and node.end_byte - node.start_byte > _SMALL:
            self._close(self.mark(body, own, depth + 1), end)
        return end

    def _is_symbol(self, node: Node, role: Role | None, *, named: bool) -> bool:
        """Whether it is worth a block: a class on one line is a declaration or an alias."""
        if role is Role.CLASS:
            return node.end_point.row > node.start_point.row
        return role is Role.FUNCTION or (role is Role.BINDING and named)

    def _close(self, last: int, end: int) -> None:
        """Give the last member what only ends its class."""
        rest = " ".join(self.marks.lines[last:end])
        if last and not _WORD.search(rest.replace("end", "")):
            self.marks.extend(last, end)

    def _unwrapped(self, node: Node) -> Node:
        while self._roles.get(node.type) is Role.WRAPPER:
            inner = next(
                (child for child in node.named_children if child.type in self._roles), None
            )
            if inner is None:
                break
            node = inner
        return node


def _lines(node: Node) -> tuple[int, int]:
    """First line and end; some grammars count a comment's line break to it."""
    row, column = node.end_point
    return node.start_point.row, max(row + (column > 0), node.start_point.row + 1)


def _name(node: Node, role: Role | None) -> str:
    """The name a node defines; empty if it has none."""
    field = node.child_by_field_name
    if role is Role.BINDING:
        return _bound_name(node) or next(map(_bound_name, node.named_children), "")
    if receiver := field("receiver"):  # Go
        owner = _RECEIVER.search(_text(receiver))
        return ".".join([*([owner[1]] if owner else []), _text(field("name"))])
    if node.type == "impl_item":  # Rust
        return _text(field("type"))
    if (named := field("name") or _declared(node)) is None:
        inner = (child.child_by_field_name("name") for child in node.named_children)
        named = next(filter(None, inner), None)
    return _text(named)


def _bound_name(node: Node) -> str:
    """The name that a function or class is bound to."""
    field = node.child_by_field_name
    value = field("value") or field("right")
    if value is None or value.type not in _VALUES:
        return ""
    return _text(field("name") or field("property") or field("left"))


def _declared(node: Node) -> Node | None:
    """What C's declarators wrap: `int *f(void)` declares f."""
    declarator = node.child_by_field_name("declarator")
    while declarator and declarator.type.endswith("_declarator") and declarator.named_children:
        inner = declarator.child_by_field_name("declarator")
        declarator = inner or declarator.named_children[-1]
    return declarator


def _text(node: Node | None) -> str:
    words = node.text.decode(errors="replace") if node and node.text else ""
    return " ".join(words.replace("::", ".").split())[:_LONGEST_NAME]
