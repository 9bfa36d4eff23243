"""The lines of all pages in, those that only repeat on each page out."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ingestion_assets.documents.pdf.lines import Line

_FEWEST = 3  # pages with a line at the same height
_REPEATED = 0.6  # of them: with a text that another one has, too
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b")

_Slot = tuple[bool, int]  # at the top; height in points


def body(pages: Sequence[list[Line]]) -> list[list[Line]]:
    """The pages without running headers, footers and page numbers.

    A row is one of them if it is the outermost of its page, and if most pages that have such a row
    at just this height have the same words there as another page, numbers aside.
    """
    rows = [list(_outermost(page)) for page in pages]
    running = _running(rows)
    kept = []
    for page, found in zip(pages, rows, strict=True):
        gone = [line for slot, row in found if slot in running for line in row]
        kept.append([line for line in page if line not in gone])
    return kept


def _outermost(page: list[Line]) -> Iterator[tuple[_Slot, list[Line]]]:
    """The topmost and the lowest row of a page."""
    if not page:
        return
    for top, height in (True, max(x.first for x in page)), (False, min(x.first for x in page)):
        row = [line for line in page if abs(line.first - height) < line.size / 3]
        yield (top, round(height)), row


def _running(rows: list[list[tuple[_Slot, list[Line]]]]) -> set[_Slot]:
    said = [(slot, _words(row)) for found in rows for slot, row in found]
    times = Counter(said)
    slots = Counter(slot for slot, _ in said)
    repeated = Counter(slot for slot, words in said if times[slot, words] > 1)
    return {s for s, n in slots.items() if n >= _FEWEST and repeated[s] >= n * _REPEATED}


def _words(row: list[Line]) -> str:
    return _DIGITS.sub("#", " ".join(line.text for line in row).casefold())
