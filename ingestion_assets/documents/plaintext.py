"""Plain text in, its paragraphs out."""

from collections.abc import Iterator
from itertools import groupby

from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets.documents.marks import Marks

_INDENTS = ("    ", "\t")


def blocks(text: str) -> list[Block]:
    """Paragraphs by blank lines, or by the lone % of fortune files.

    Indented paragraphs in a row are one code block.
    """
    marks = Marks(text)
    paragraphs = _paragraphs(marks.lines)
    for code, group in groupby(paragraphs, key=lambda span: _indented(marks.lines, *span)):
        spans = list(group)
        if code:
            spans = [(spans[0][0], spans[-1][1])]
        for first, end in spans:
            marks.mark(BlockKind.CODE if code else BlockKind.PARAGRAPH, first, end)
    return marks.blocks()


def _paragraphs(lines: list[str]) -> Iterator[tuple[int, int]]:
    first = 0
    for at, line in enumerate([*lines, ""]):
        if not line.strip():
            if first < at:
                yield first, at
            first = at + 1
        elif line == "%":
            yield first, at + 1
            first = at + 1


def _indented(lines: list[str], first: int, end: int) -> bool:
    return all(line.startswith(_INDENTS) for line in lines[first:end])
