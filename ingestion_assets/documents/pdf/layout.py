"""Lines with their places in, the blocks of a page out."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ingestion_assets.documents.pdf.lines import Line
from ingestion_assets.documents.pdf.styles import Styles

_BULLET = re.compile(r"[•◦▪■□‣●○∙·*►▶➢✓\u2013\u2014-]\s+(?=\S)")
_NUMBER = re.compile(r"\(?(\d{1,3})[.)]\s+(?=\S)")
_HANGING = re.compile(rf"{_BULLET.pattern}|{_NUMBER.pattern}|\[\w+\]\s")
_LEADERS = re.compile(r"(?:[.…]\s*){4,}")
_LOOSE = 1.25  # leadings: more space than that divides paragraphs
_LOOSE_CODE = 2.6
_LEVEL = 1 / 3  # sizes: at the same height
_RAISED = 0.8  # sizes: an exponent or an index
_SHORT = 0.7  # of the width: a line that was ended there
_INDENT = 0.5  # sizes
_WIDTH = 0.6  # sizes: of a character in a fixed pitch


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together.

    Attributes:
        edge: where the full lines of the column end.
        level: of a heading, else 0.
    """

    lines: list[Line]
    edge: float
    level: int

    @property
    def cells(self) -> list[list[str]]:
        """Rows of the table it is, if it is one."""
        return self.lines[0].cells

    @property
    def is_code(self) -> bool:
        return len(self.lines) > 1 and all(line.mono for line in self.lines)

    @property
    def text(self) -> str:
        """Its words; a line that ends early, as in an address or a list of names, stays a line."""
        last = self.lines[-1]
        parts = [line.text + (" " if self._is_full(line) else "\n") for line in self.lines[:-1]]
        return _LEADERS.sub(" … ", "".join(parts) + last.text)

    def _is_full(self, line: Line) -> bool:
        left = self.lines[-1].left
        return line.right - left >= (self.edge - left) * _SHORT

    def marker(self) -> tuple[str, str] | None:
        """Marker and text of an item of a list."""
        text = self.text
        if match := _BULLET.match(text):
            return "-", text[match.end() :]
        if match := _NUMBER.match(text):
            return f"{match[1]}.", text[match.end() :]
        return None

    def code(self) -> str:
        """The lines, indented as they stand."""
        margin = min(line.left for line in self.lines)
        pitch = self.lines[0].size * _WIDTH or 1
        return "\n".join(" " * round((x.left - margin) / pitch) + x.text for x in self.lines)


def blocks(lines: Sequence[Line], styles: Styles) -> Iterator[Block]:
    """The lines of a page, in their order, as headings, paragraphs, items and code."""
    for column in _columns(_rows(lines)):
        edge = sorted(line.right for line in column)[len(column) * 4 // 5]
        block: list[Line] = []
        for line in column:
            if block and _begins(block, line, styles):
                yield Block(block, edge, styles.level(block[0]))
                block = []
            block.append(line)
        yield Block(block, edge, styles.level(block[0]))


def _columns(rows: Iterable[Line]) -> Iterator[list[Line]]:
    """The rows, as far as they go down the page."""
    column: list[Line] = []
    for row in rows:
        if column and row.first >= column[-1].last:
            yield column
            column = []
        column.append(row)
    if column:
        yield column


def _rows(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines, with those that stand beside each other made one."""
    row: Line | None = None
    for line in lines:
        if row and _beside(row, line):
            bold, mono = row.bold and line.bold, row.mono and line.mono
            size, last = max(row.size, line.size), min(row.last, line.last)
            text = f"{row.text} {line.text}"
            row = Line(text, row.left, line.right, row.first, last, size, bold, mono)
            continue
        if row:
            yield row
        row = line
    if row:
        yield row


def _beside(row: Line, line: Line) -> bool:
    """Whether it goes on at the same height, or raised or lowered right after it."""
    if row.cells or line.cells:
        return False
    height = abs(row.last - line.first) / (max(row.size, line.size) or 1)
    space = (line.left - row.right) / (row.size or 1)
    return (height < _LEVEL and space > -1) or (height < _RAISED and abs(space) < 1)


def _begins(block: list[Line], line: Line, styles: Styles) -> bool:
    """Whether a line begins a new block, after the lines of the last one."""
    above = block[-1]
    gap = (above.last - line.first) / (line.size or 1) / styles.leading
    if above.cells or line.cells or styles.level(above) != styles.level(line):
        return True
    if above.mono and line.mono:
        return gap > _LOOSE_CODE
    if gap > _LOOSE * max(1, above.size / (line.size or 1)) or _LEADERS.search(above.text):
        return True
    return not styles.level(line) and (_is_item(block, line) or _indented(block, line))


def _is_item(block: list[Line], line: Line) -> bool:
    if _BULLET.match(line.text):
        return True
    if not _HANGING.match(line.text):
        return False
    return bool(_HANGING.match(block[0].text)) or block[-1].text.endswith(":")


def _indented(block: list[Line], line: Line) -> bool:
    """Whether it stands where a paragraph begins, or where another one goes on."""
    shift = (line.left - block[-1].left) / (line.size or 1)
    if len(block) > 1:
        return abs(shift) > _INDENT
    if _HANGING.match(block[0].text):
        return shift < -_INDENT
    return shift > _INDENT
