"""All lines of a PDF in, what its fonts and distances mean out."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ingestion_assets.documents.pdf.lines import Line

_LARGER = 1.08  # times the body's size: a heading
_SHARE = 0.2  # of the letters; a style with more of them is no heading's
_LONGEST = 200  # characters of a heading
_LEADINGS = (0.8, 2.0)  # times the size: what can be the distance of two lines
_LETTER = re.compile(r"[^\W\d_]{2}")

_Style = tuple[float, bool]  # size, bold


@dataclass(frozen=True, slots=True)
class Styles:
    """How a document is set.

    Attributes:
        leading: distance of two lines of a paragraph, in sizes.
        levels: level of each style of headings.
    """

    leading: float
    levels: dict[_Style, int]

    def level(self, line: Line) -> int:
        """1 to 6 if the line is set as a heading, else 0."""
        level = self.levels.get((line.size, line.bold), 0)
        if not level or line.mono or len(line.text) > _LONGEST:
            return 0
        return level if _LETTER.search(line.text) else 0


def styles(pages: Sequence[Sequence[Line]]) -> Styles:
    """What is larger than most of the text, or as large and bold, is a heading, by its rank."""
    letters: Counter[_Style] = Counter()
    for page in pages:
        for line in page:
            letters[line.size, line.bold] += len(line.text)
    body = max(letters, key=lambda style: letters[style], default=(0.0, False))
    most = letters.total() * _SHARE
    headings = [style for style, count in letters.items() if _heads(style, body) and count < most]
    ranked = sorted(headings, reverse=True)
    levels = {style: min(rank, 6) for rank, style in enumerate(ranked, 1)}
    return Styles(_leading(pages), levels)


def _heads(style: _Style, body: _Style) -> bool:
    size, bold = style
    return size > body[0] * _LARGER or (size >= body[0] and bold and not body[1])


def _leading(pages: Sequence[Sequence[Line]]) -> float:
    least, most = _LEADINGS
    found = (
        (upper.last - lower.first) / lower.size
        for page in pages
        for upper, lower in pairwise(page)
        if lower.size and upper.size == lower.size
    )
    return median([leading for leading in found if least < leading < most] or [1.2])
