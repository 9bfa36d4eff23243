"""Headings, paragraphs, items, tables in, one Markdown text out."""

import re
from collections.abc import Sequence

_BLOCK_START = re.compile(
    r"#{1,6}(?=\s|$)|[-+*](?=\s|$)|\d{1,9}[.)](?=\s|$)|```|~~~|[<>]|=+$|-+$|\["
)
_DEEPEST = 8  # levels of a list; deeper ones are not indented further


def escaped(line: str) -> str:
    """The line, kept from being read as the start of a Markdown block."""
    return "\\" + line if _BLOCK_START.match(line) else line


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table: the first row is its head, short rows are filled up."""
    width = max(map(len, rows))
    padded = [[_cell(cell) for cell in row] + [""] * (width - len(row)) for row in rows]
    drawn = [f"| {' | '.join(row)} |" for row in padded]
    return [drawn[0], "|" + " --- |" * width, *drawn[1:]]


def fenced(code: str, language: str = "") -> list[str]:
    """The lines of a code block, in a fence that is longer than any in the code."""
    longest = max(map(len, re.findall("`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return [fence + language, *code.split("\n"), fence]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


class Rendering:
    """A Markdown text as it grows, block by block; blocks without a word are left out.

    Attributes:
        pages: offset in the text at which each page begins, the first one at 0.
    """

    def __init__(self) -> None:
        self.pages: list[int] = []
        self._pieces: list[str] = []
        self._length = 0
        self._turned = 0  # pages begun since the last block
        self._last = ""  # kind of the last block
        self._depth = 0  # of the last item

    def turn_page(self) -> None:
        """The next block is on a new page."""
        self._turned += 1

    def heading(self, level: int, text: str) -> None:
        if words := " ".join(text.split()):
            self._add("heading", f"{'#' * min(level, 6)} {words}")

    def paragraph(self, text: str, *, continued: bool = False) -> None:
        """Lines are kept; `continued` goes on in the paragraph before it, if there is one."""
        lines = [escaped(" ".join(line.split())) for line in text.splitlines() if line.strip()]
        if lines:
            glue = " " if continued and self._last == "paragraph" else "\n\n"
            self._add("paragraph", "\n".join(lines), glue)

    def item(self, text: str, depth: int = 0, marker: str = "-") -> None:
        """An item of a list, `depth` levels below the outermost."""
        if words := " ".join(text.split()):
            in_list = self._last == "item"
            self._depth = min(depth, self._depth + 1 if in_list else 0, _DEEPEST)
            block = f"{'    ' * self._depth}{marker} {escaped(words)}"
            self._add("item", block, "\n" if in_list else "\n\n")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows without a word are left out; what has one column only is no table."""
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        if max(map(len, rows), default=0) > 1:
            self._add("table", "\n".join(table_lines(rows)))
        else:
            self.paragraph("\n".join(cell for row in rows for cell in row))

    def code(self, code: str) -> None:
        if code.strip():
            self._add("code", "\n".join(fenced(code.strip("\n"))))

    def markdown(self, text: str) -> None:
        """What is Markdown already."""
        if text.strip():
            self._add("markdown", text.strip("\n").rstrip())

    def text(self) -> str:
        """The whole text; pages that were turned since the last block begin at its end."""
        self._open_pages()
        return "".join(self._pieces)

    def _add(self, kind: str, block: str, glue: str = "\n\n") -> None:
        glue = glue if self._pieces else ""
        self._length += len(glue)
        self._open_pages()
        self._length += len(block)
        self._pieces += [glue, block]
        self._last = kind

    def _open_pages(self) -> None:
        self.pages += [self._length] * self._turned
        self._turned = 0
