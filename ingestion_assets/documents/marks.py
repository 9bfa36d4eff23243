"""Marked lines in, blocks with exact offsets out."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from ingestion_assets.documents.document import Block, BlockKind


@dataclass(frozen=True, slots=True, eq=False)
class _Mark:
    kind: BlockKind
    level: int = 0
    title: str = ""


class Marks:
    """The lines of a text, each marked with the block it belongs to.

    A later mark replaces an earlier one on the same lines, so that what is found inside (code in a
    list item) divides what is around it.

    Attributes:
        lines: the lines from `start` on, without their ends; line numbers below count from 0.
    """

    def __init__(self, text: str, start: int = 0) -> None:
        self.lines = text[start:].split("\n")
        self._text = text
        self._start = start
        self._marks: list[_Mark | None] = [None] * len(self.lines)

    def mark(
        self, kind: BlockKind, first: int, end: int, *, level: int = 0, title: str = ""
    ) -> None:
        """Make the lines from `first` up to `end` one block."""
        end = min(end, len(self.lines))
        self._marks[first:end] = [_Mark(kind, level, title)] * (end - first)

    def extend(self, first: int, end: int) -> None:
        """Give the lines from `first` up to `end` to the block of the line before them."""
        self._marks[first:end] = [self._marks[first - 1]] * (end - first)

    def paragraphs(self) -> Iterator[tuple[int, int]]:
        """First line and end of each run of lines that are not blank."""
        at = 0
        for blank, group in groupby(self.lines, key=lambda line: not line.strip()):
            first, at = at, at + sum(1 for _ in group)
            if not blank:
                yield first, at

    def blocks(self) -> list[Block]:
        """The blocks in order; lines without a mark are paragraphs, blank ones nothing."""
        blocks: list[Block] = []
        offset, at = self._start, 0
        for _, group in groupby(self._marks, key=id):
            run = list(group)
            length = sum(len(line) + 1 for line in self.lines[at : at + len(run)])
            if block := self._block(run[0] or _Mark(BlockKind.PARAGRAPH), offset, length):
                blocks.append(block)
            offset, at = offset + length, at + len(run)
        return blocks

    def _block(self, mark: _Mark, offset: int, length: int) -> Block | None:
        piece = self._text[offset : offset + length]
        if not piece.strip():
            return None
        margin = len(piece) - len(piece.lstrip())
        start = offset + piece.rfind("\n", 0, margin) + 1
        return Block(mark.kind, start, offset + len(piece.rstrip()), mark.level, mark.title)
