"""A page's rules and lines in, the lines out, with each ruled table as one of them."""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pypdfium2 as pdfium
import pypdfium2.raw as c

from ingestion_assets.documents.pdf.lines import Line, Typeset

_THIN = 2.5  # points: a rule
_LONG = 6.0  # points: not a dash
_NEAR = 3.0  # points: rules that touch
_MOST_PATHS = 5_000  # more are a drawing
_MOST_CELLS = 5_000  # of a table
_MOST_PAIRS = 250_000  # of rules
_LARGEST_CELL = 1000  # characters; more means that the rules lay out a page
_TOLERANCE = 0.05  # of the letters
_FEWEST_ROWS = 3  # of text between two rules, to be rows of the table

_Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True, slots=True)
class _Rule:
    """A straight line: at one coordinate, between two of the other."""

    at: float
    start: float
    end: float

    def meets(self, other: "_Rule") -> bool:
        """Whether it touches one at a right angle to it."""
        return (
            other.start - _NEAR <= self.at <= other.end + _NEAR
            and self.start - _NEAR <= other.at <= self.end + _NEAR
        )


def with_tables(page: pdfium.PdfPage, typeset: Typeset, lines: list[Line]) -> list[Line]:
    """The lines of a page, those inside a table replaced by one that has its cells."""
    for columns, rows in _grids(*_rules(page)):
        inside = [line for line in lines if _within(line, columns, rows)]
        cells = _cells(typeset, columns, rows) if inside else []
        if _is_table(cells) and _is_whole(cells, inside):
            at = lines.index(inside[0])
            table = Line("table", columns[0], columns[-1], rows[0], rows[-1], 0, cells=cells)
            lines = [line for line in lines[:at] if line not in inside] + [
                table,
                *(line for line in lines[at:] if line not in inside),
            ]
    return lines


def _rules(page: pdfium.PdfPage) -> tuple[list[_Rule], list[_Rule]]:
    """The horizontal and the vertical ones, drawn as lines or as edges of boxes."""
    across, upright = [], []
    for left, bottom, right, top in _paths(page):
        wide, high = right - left >= _LONG, top - bottom >= _LONG
        if wide:
            heights = [bottom, top] if top - bottom > _THIN else [(bottom + top) / 2]
            across += [_Rule(height, left, right) for height in heights]
        if high:
            places = [left, right] if right - left > _THIN else [(left + right) / 2]
            upright += [_Rule(place, bottom, top) for place in places]
    return across, upright


def _paths(page: pdfium.PdfPage) -> Iterator[_Box]:
    """The boxes around what is drawn with few strokes: rules and rectangles."""
    raw = page.raw
    objects = (c.FPDFPage_GetObject(raw, at) for at in range(c.FPDFPage_CountObjects(raw)))
    paths = [found for found in objects if c.FPDFPageObj_GetType(found) == c.FPDF_PAGEOBJ_PATH]
    box = [ctypes.c_float() for _ in range(4)]
    for path in paths if len(paths) <= _MOST_PATHS else []:
        if c.FPDFPath_CountSegments(path) <= 6 and c.FPDFPageObj_GetBounds(path, *box):
            left, bottom, right, top = (edge.value for edge in box)
            yield left, bottom, right, top


def _grids(across: list[_Rule], upright: list[_Rule]) -> Iterator[tuple[list[float], list[float]]]:
    """Where rules cross: the places of the columns from the left, of the rows from the top."""
    if not upright or len(across) * len(upright) > _MOST_PAIRS:
        return
    for rows, columns in _crossing(across, upright):
        ends = [rule.start for rule in rows], [rule.end for rule in rows]
        places = _distinct([*(rule.at for rule in columns), min(ends[0]), max(ends[1])])
        heights = _distinct([rule.at for rule in rows])[::-1]
        if len(places) > 2 and len(heights) > 2 and len(places) * len(heights) <= _MOST_CELLS:
            yield places, heights


def _crossing(
    across: list[_Rule], upright: list[_Rule]
) -> Iterator[tuple[list[_Rule], list[_Rule]]]:
    """The groups of rules that hang together."""
    left = set(upright)
    waiting = set(across)
    while waiting:
        rows: list[_Rule] = []
        columns: list[_Rule] = []
        new = [waiting.pop()]
        while new:
            rows += new
            met = {rule for rule in left if any(rule.meets(row) for row in new)}
            columns += met
            left -= met
            new = [rule for rule in waiting if any(rule.meets(column) for column in met)]
            waiting.difference_update(new)
        if columns:
            yield rows, columns


def _distinct(places: Sequence[float]) -> list[float]:
    ordered = sorted(places)
    return [ordered[0], *(b for a, b in pairwise(ordered) if b - a > _NEAR)]


def _within(line: Line, columns: list[float], rows: list[float]) -> bool:
    middle = (line.left + line.right) / 2
    return columns[0] < middle < columns[-1] and rows[-1] < line.first < rows[0]


def _cells(typeset: Typeset, columns: list[float], rows: list[float]) -> list[list[str]]:
    cells: list[list[str]] = []
    for top, bottom in pairwise(rows):
        row = [typeset.text_within(x, bottom, end, top) for x, end in pairwise(columns)]
        cells += _divided(row)
    return cells


def _divided(row: list[str]) -> list[list[str]]:
    """The rows of text between two rules, where each column has as many."""
    columns = [cell.split("\r\n") for cell in row]
    counts = {len(column) for column in columns}
    if len(counts) == 1 and min(counts) >= _FEWEST_ROWS:
        return [list(cells) for cells in zip(*columns, strict=True)]
    return [row]


def _is_whole(cells: list[list[str]], lines: list[Line]) -> bool:
    """Whether the cells have the letters of the lines: none lost, none in two cells."""
    found = sum(len("".join(cell.split())) for row in cells for cell in row)
    given = sum(len("".join(line.text.split())) for line in lines)
    return abs(found - given) <= given * _TOLERANCE


def _is_table(cells: list[list[str]]) -> bool:
    filled = [[bool(cell.strip()) for cell in row] for row in cells]
    small = all(len(cell) <= _LARGEST_CELL for row in cells for cell in row)
    return small and sum(map(any, filled)) > 1 and sum(map(any, zip(*filled, strict=True))) > 1
