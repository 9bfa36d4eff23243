"""A page of a PDF in, its lines of text with place and font out.

PDFium has found the characters' order, words and hyphens by then; what is asked here is asked once
or twice for each line, because every question is a foreign call.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pypdfium2 as pdfium
import pypdfium2.raw as c

_HYPHEN = "\ufffe"  # PDFium's mark of a word that was divided at the end of a line
_BOLD = re.compile(r"bold|black|heavy|demi|cmbx|cmssbx|-B$", re.I)
_MONO = re.compile(r"mono|courier|consol|cmtt|typewriter|fixed", re.I)
_FIXED_PITCH = 1  # flag of a font
_BOLD_WEIGHT = 600


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; a divided word's line also has the line that ends the word.

    Attributes:
        left: where it begins, in points from the left edge of the page.
        right: where it ends.
        first: height of its baseline above the bottom of the page.
        last: the same, where it ends.
        size: of the word in its middle, in points as seen.
        bold, mono: the whole line is set in such a font.
        cells: rows of the table that it stands for.
    """

    text: str
    left: float
    right: float
    first: float
    last: float
    size: float
    bold: bool = False
    mono: bool = False
    cells: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Font:
    size: float
    bold: bool
    mono: bool


class Typeset:
    """The characters of one page, asked for their place and font."""

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._page = page.get_textpage()
        self._raw = self._page.raw
        self._fonts: dict[bytes, tuple[bool, bool]] = {}
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._box = [ctypes.c_double() for _ in range(4)]
        self._name = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()
        self._matrix = c.FS_MATRIX()

    def lines(self) -> Iterator[Line]:
        """The lines that have a word, in the order of the page's content."""
        at = 0
        for line in self._page.get_text_range(errors="surrogatepass").split("\r\n"):
            if text := line.strip():
                yield self._line(text, at + line.index(text[0]))
            at += len(line) + 2

    def text_within(self, left: float, bottom: float, right: float, top: float) -> str:
        return str(self._page.get_text_bounded(left, bottom, right, top)).replace(_HYPHEN, "")

    def close(self) -> None:
        self._page.close()

    def _line(self, text: str, at: int) -> Line:
        first, last = self._index(at), self._index(at + len(text) - 1)
        middle = text.rfind(" ", 0, len(text) // 2) + 1
        font = self._font(self._index(at + middle))
        bold, mono = font.bold, font.mono
        if bold or mono:
            begin, end = self._font(first), self._font(last)
            bold, mono = bold and begin.bold and end.bold, mono and begin.mono and end.mono
        c.FPDFText_GetCharOrigin(self._raw, first, self._x, self._y)
        left, baseline = self._x.value, self._y.value
        c.FPDFText_GetCharOrigin(self._raw, last, self._x, self._y)
        c.FPDFText_GetCharBox(self._raw, last, *self._box)
        right, lowest = self._box[1].value, min(baseline, self._y.value)
        clean = text.replace(_HYPHEN, "").replace("\0", "")
        return Line(clean, left, right, baseline, lowest, font.size, bold, mono)

    def _index(self, at: int) -> int:
        return int(c.FPDFText_GetCharIndexFromTextIndex(self._raw, at))

    def _font(self, index: int) -> _Font:
        length = c.FPDFText_GetFontInfo(self._raw, index, self._name, 128, self._flags)
        name = self._name.value if length else b""
        c.FPDFText_GetMatrix(self._raw, index, self._matrix)
        scale = math.hypot(self._matrix.b, self._matrix.d)
        size = round(c.FPDFText_GetFontSize(self._raw, index) * scale * 2) / 2
        if name not in self._fonts:
            said = name.decode(errors="replace")
            weight = c.FPDFText_GetFontWeight(self._raw, index)
            fixed = bool(self._flags.value & _FIXED_PITCH or _MONO.search(said))
            self._fonts[name] = (bool(_BOLD.search(said)) or weight >= _BOLD_WEIGHT, fixed)
        return _Font(size, *self._fonts[name])
