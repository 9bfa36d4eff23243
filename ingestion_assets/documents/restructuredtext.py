"""reStructuredText in, its blocks out.

A line scanner of our own: docutils follows include directives, knows offsets only by line and not
always, and rejects what Sphinx adds.
"""

import re

from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets.documents.marks import Marks

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\s*")
_GRID = re.compile(r"\s*\+[-=+]+\+\s*")
_SIMPLE = re.compile(r"\s*=+(?: +=+)+\s*")
_ITEM = re.compile(
    r"\s*(?:[-*+\u2022\u2023\u2043]|\(?(?:\d+|#|[A-Za-z]|[ivxlcdmIVXLCDM]+)[.)])\s+(?=\S)"
)
_MARKER = re.compile(r"\s*\.\. +")
_DIRECTIVE = re.compile(r"\s*\.\. +([\w-]+(?:[:.+][\w-]+)*)::")
_BARE_DIRECTIVE = re.compile(r"\s*\.\. +\S+::")
_CODE = {
    "code", "code-block", "sourcecode", "literalinclude", "parsed-literal", "math", "doctest",
    "testcode", "testoutput", "productionlist", "graphviz", "digraph", "raw", "ipython", "prompt",
}  # fmt: skip
_LONGEST_TITLE = 1000  # characters
_TABLES = {"table", "list-table", "csv-table"}
_MARKUP = re.compile(
    r"(?::[\w:+.-]+:)?`+~?([^`<]+?)(?:\s*<[^`>]*>)?`+_{0,2}"  # role, literal, reference
    r"|\*{1,2}([^*]+)\*{1,2}"
    r"|\|([^|]+)\|_{0,2}"
)


def blocks(text: str) -> list[Block]:
    """The blocks of a reStructuredText file, as in Markdown: one for each top-level list item.

    Directives and comments are paragraphs, but for those that hold code or tables.
    """
    scanner = _Scanner(Marks(text))
    at = 0
    while at < len(scanner.lines):
        at = scanner.step(at)
    return scanner.marks.blocks()


class _Scanner:
    """Marks block after block; indentation matters only to what is verbatim and to list items."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.lines = marks.lines
        self._styles: list[str] = []  # of section titles, in order of appearance
        self._item_end = 0  # line after the current top-level list item

    def step(self, at: int) -> int:
        """Mark the block at a line; returns the line after it."""
        if not self.lines[at].strip():
            return at + 1
        return self._section(at) or self._verbatim(at) or self._prose(at)

    def _section(self, at: int) -> int | None:
        over, title, under = [*self.lines[at : at + 3], "", ""][:3]
        if _adorns(over, title) and _adorns(under, title) and over[0] == under[0]:
            style, end = over[0] * 2, at + 3
        elif _adorns(title, over) and not over[0].isspace():
            style, title, end = title[0], over, at + 2
        else:
            return None
        if style not in self._styles:
            self._styles.append(style)
        level = min(self._styles.index(style) + 1, 6)
        self.marks.mark(BlockKind.HEADING, at, end, level=level, title=_plain(title))
        return end

    def _verbatim(self, at: int) -> int | None:
        """Tables, code directives and interactive sessions."""
        line = self.lines[at]
        if end := self._table_end(at):
            kind = BlockKind.TABLE
        elif line.lstrip().startswith(">>> "):
            kind, end = BlockKind.CODE, self._paragraph_end(at)
        elif (found := _DIRECTIVE.match(line)) and found[1] in _CODE | _TABLES:
            kind = BlockKind.TABLE if found[1] in _TABLES else BlockKind.CODE
            end = self._body_end(at + 1, _indent(line))
        else:
            return None
        self.marks.mark(kind, at, end)
        return end

    def _prose(self, at: int) -> int:
        """A paragraph, or the first paragraph of a list item; and the literal block after it."""
        end = self._paragraph_end(at)
        if at >= self._item_end:
            if self._is_item(at):
                self._item_end = self._body_end(at + 1, _indent(self.lines[at]))
                self.marks.mark(BlockKind.LIST, at, self._item_end)
            else:
                self.marks.mark(BlockKind.PARAGRAPH, at, end)
        last = self.lines[end - 1].rstrip()
        if last.endswith("::") and not _BARE_DIRECTIVE.fullmatch(last):
            return self._literal(end, _text_column(last))
        return end

    def _literal(self, at: int, column: int) -> int:
        end = self._body_end(at, column)
        if any(line.strip() for line in self.lines[at:end]):
            self.marks.mark(BlockKind.CODE, at, end)
            return end
        return at

    def _is_item(self, at: int) -> bool:
        line = self.lines[at]
        if not _ITEM.match(line):
            return False
        following = self.lines[at + 1] if at + 1 < len(self.lines) else ""
        wraps = following.strip() and _indent(following) <= _indent(line)
        return not wraps or bool(_ITEM.match(following))

    def _paragraph_end(self, at: int) -> int:
        """The next blank line; the next item too, as items may follow without one."""
        in_list = _ITEM.match(self.lines[at])
        for n in range(at + 1, len(self.lines)):
            if not self.lines[n].strip() or (in_list and _ITEM.match(self.lines[n])):
                return n
        return len(self.lines)

    def _body_end(self, at: int, indent: int) -> int:
        """The first line from `at` on that is not blank and not indented by more than `indent`."""
        for n in range(at, len(self.lines)):
            if self.lines[n].strip() and _indent(self.lines[n]) <= indent:
                return n
        return len(self.lines)

    def _table_end(self, at: int) -> int | None:
        if _GRID.fullmatch(self.lines[at]):
            return self._grid_end(at)
        return self._simple_end(at) if _SIMPLE.fullmatch(self.lines[at]) else None

    def _grid_end(self, at: int) -> int:
        for n in range(at, len(self.lines)):
            if not self.lines[n].lstrip().startswith(("+", "|")):
                return n
        return len(self.lines)

    def _simple_end(self, at: int) -> int | None:
        """After the first border below that a blank line follows, or after the second."""
        borders = 0
        for n in range(at + 1, len(self.lines)):
            if _SIMPLE.fullmatch(self.lines[n]):
                borders += 1
                if borders == 2 or n + 1 == len(self.lines) or not self.lines[n + 1].strip():
                    return n + 1
        return None


def _adorns(line: str, title: str) -> bool:
    words = title.strip()
    long_enough = len(line.rstrip()) >= min(4, len(words))
    return (
        bool(words and _ADORNMENT.fullmatch(line))
        and long_enough
        and not _ADORNMENT.fullmatch(words)
    )


def _indent(line: str) -> int:
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())


def _text_column(line: str) -> int:
    lead = _ITEM.match(line) or _MARKER.match(line)
    return len(lead[0].expandtabs(8)) if lead else _indent(line)


def _plain(title: str) -> str:
    words = _MARKUP.sub(lambda match: next(filter(None, match.groups())), title[:_LONGEST_TITLE])
    return " ".join(words.split())
