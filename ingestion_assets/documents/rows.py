"""Rows and their headers in, records of text out; such a text in, its blocks out."""

import re
from collections.abc import Sequence

from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets.documents.rendering import escaped

_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\n]+)*")
_SHEET = "# "


def record(headers: Sequence[str], row: Sequence[str]) -> str:
    """One row as a line `Header: value` for each value; a value without a header stands alone."""
    pairs = ((header, " ".join(value.split())) for header, value in zip(headers, row, strict=True))
    lines = [f"{header}: {value}" if header else value for header, value in pairs if value]
    return "\n".join(map(escaped, lines))


def blocks(text: str) -> list[Block]:
    """The records of a text, and the headings over them."""
    return [_block(match) for match in _PARAGRAPH.finditer(text)]


def _block(match: re.Match[str]) -> Block:
    start, end = match.span()
    if match[0].startswith(_SHEET):
        return Block(BlockKind.HEADING, start, end, 1, match[0].removeprefix(_SHEET))
    return Block(BlockKind.RECORD, start, end)
