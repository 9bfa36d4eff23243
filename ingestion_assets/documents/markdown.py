"""Markdown in, its blocks out."""

from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingestion_assets.documents import frontmatter
from ingestion_assets.documents.document import Block, BlockKind, Reading
from ingestion_assets.documents.marks import Marks

# Only lines matter: without `inline` nothing is parsed inside them, without `normalize` line n of
# the parser is line n of the text.
_PARSER = MarkdownIt("commonmark").enable("table").disable(["inline", "normalize"])

_LONGEST_TITLE = 1000  # characters

_KINDS_WITHIN = {
    "fence": BlockKind.CODE,
    "code_block": BlockKind.CODE,
    "table_open": BlockKind.TABLE,
}
_KINDS_ON_TOP = {
    "paragraph_open": BlockKind.PARAGRAPH,
    "blockquote_open": BlockKind.PARAGRAPH,
    "html_block": BlockKind.PARAGRAPH,
    "hr": BlockKind.PARAGRAPH,
}


def read(text: str) -> Reading:
    """The text as it is, with the values of its front matter."""
    values, _ = frontmatter.split(text)
    return Reading(text, str(values.get("title") or "").strip(), values)


def blocks(text: str) -> list[Block]:
    """The blocks of a Markdown file; its front matter is none of them.

    Each item of a top-level list is one block, so that a long list can be cut between items; code
    and tables inside an item are blocks of their own. A block quote is one paragraph.
    """
    return _blocks(text, frontmatter.split(text)[1], literal=False)


def rendered_blocks(text: str) -> list[Block]:
    """The blocks of Markdown that we rendered: no front matter, headings hold no markup."""
    return _blocks(text, 0, literal=True)


def _blocks(text: str, start: int, *, literal: bool) -> list[Block]:
    marks = Marks(text, start)
    environment: dict[str, Any] = {}
    tokens = _PARSER.parse(text[start:], environment)
    for at, token in enumerate(tokens):
        if token.map is None:
            continue
        first, end = token.map
        if kind := _kind(token):
            marks.mark(kind, first, end)
        elif token.type == "heading_open" and token.level == 0:
            source = tokens[at + 1].content[:_LONGEST_TITLE]
            title = source if literal else _plain(source, environment)
            marks.mark(BlockKind.HEADING, first, end, level=int(token.tag[1]), title=title)
    return marks.blocks()


def _kind(token: Token) -> BlockKind | None:
    if token.type == "list_item_open" and token.level == 1:
        return BlockKind.LIST
    on_top = _KINDS_ON_TOP.get(token.type) if token.level == 0 else None
    return _KINDS_WITHIN.get(token.type) or on_top


def _plain(source: str, environment: dict[str, Any]) -> str:
    """Inline Markdown without its markup."""
    children: list[Token] = []
    _PARSER.inline.parse(source, _PARSER, environment, children)
    words = (
        " " if child.type == "softbreak" else child.content
        for child in children
        if child.type != "html_inline"
    )
    return " ".join("".join(words).split())
