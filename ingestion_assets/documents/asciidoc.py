"""AsciiDoc in, its blocks out; the text is kept as it is, includes are not followed.

A line scanner of our own, as for reStructuredText: Python has no parser of it that is kept.
"""

import re
from bisect import bisect_right

from ingestion_assets.documents.document import Block, BlockKind, Reading
from ingestion_assets.documents.marks import Marks

_TITLE = re.compile(r"(={1,6}|#{1,6})\s+(\S.*)")
_UNDERLINES = "=-~^+"  # of titles on two lines, from level 1 on
_UNDERLINE = re.compile(r"([=\-~^+])\1{2,}\s*")
_ABOVE = re.compile(r"\[.*\]\s*|\.[^\s.].*")  # attributes, an anchor, a block's title
_DELIMITER = re.compile(
    r"(?:(?P<code>-{4,}|\.{4,}|\+{4,}|/{4,}|`{3,})(?:\w*)|(?P<table>[|,:!]={3,})"
    r"|(?P<box>={4,}|\*{4,}|_{4,}|--|~{4,}))\s*"
)
_ITEM = re.compile(r"\s*(?:(\*{1,6}|-|\.{1,6})|(?:\d+|[A-Za-z])([.)])|<(?:\d+|\.)>())\s+(?=\S)")
_TERM = re.compile(r"\s*(?!//|\[)[^\s:;](?:[^:;]|[:;](?![:;]))*+(:{2,4}|;;)(?:\s|$)")
_ATTRIBUTE = re.compile(r":([\w-]+):\s+(\S.*)")
_KEPT = {"author", "authors", "email", "description", "keywords", "revdate", "revnumber"}
_MARKUP = re.compile(
    r"(?:link|xref|https?):\S*?\[([^\]]+)\]|<<[^>,]*,([^>]+)>>|[`*_+#]{1,2}(\S(?:.*?\S)?)[`*_+#]{1,2}"
)
_LONGEST_TITLE = 1000  # characters


def read(text: str) -> Reading:
    """The text as it is, with the attributes of its header that describe it."""
    header = text.lstrip("\n")[:65_536].partition("\n\n")[0]
    found = (_ATTRIBUTE.fullmatch(line) for line in header.split("\n"))
    said = {match[1]: match[2].strip() for match in found if match and match[1] in _KEPT}
    return Reading(text, metadata=said)


def blocks(text: str) -> list[Block]:
    """The blocks of an AsciiDoc file, as in Markdown: one for each top-level list item.

    The lines above a block that give it attributes or a title belong to it. A box around blocks,
    like an admonition or an example, is none itself.
    """
    scanner = _Scanner(Marks(text))
    at = 0
    while at < len(scanner.lines):
        at = scanner.step(at)
    return scanner.marks.blocks()


class _Scanner:
    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.lines = marks.lines
        self._above: int | None = None  # first line of what belongs to the next block
        self._closed: set[int] = set()  # lines that end a box
        self._delimiters: dict[str, list[int]] = {}
        for at, line in enumerate(self.lines):
            if _DELIMITER.fullmatch(line):
                self._delimiters.setdefault(_bare(line), []).append(at)

    def step(self, at: int) -> int:
        """Mark the block at a line; returns the line after it."""
        line = self.lines[at]
        if at in self._closed:
            self.marks.extend(at, at + 1)
            return at + 1
        if not line.strip():
            return at + 1
        first = self._above if self._above is not None else at
        self._above = None
        is_last = at + 1 == len(self.lines) or not self.lines[at + 1].strip()
        if _ABOVE.fullmatch(line) and not is_last:
            self._above = first
            return at + 1
        return self._title(first, at) or self._delimited(first, at) or self._prose(first, at)

    def _title(self, first: int, at: int) -> int | None:
        line, under = [*self.lines[at : at + 2], ""][:2]
        if match := _TITLE.fullmatch(line):
            level, title, end = len(match[1]), match[2], at + 1
        elif _underlines(under, line):
            level, title, end = _UNDERLINES.index(under[0]) + 1, line, at + 2
        else:
            return None
        self.marks.mark(BlockKind.HEADING, first, end, level=level, title=_plain(title))
        return end

    def _delimited(self, first: int, at: int) -> int | None:
        """A block between two equal lines."""
        close = self._close(at)
        if close is None:
            return None
        match = _DELIMITER.fullmatch(self.lines[at])
        if match and match["box"]:
            self._above = first
            self._closed.add(close)
            return at + 1
        kind = BlockKind.TABLE if match and match["table"] else BlockKind.CODE
        self.marks.mark(kind, first, close + 1)
        return close + 1

    def _close(self, at: int) -> int | None:
        """The line that ends what begins at a line; None if nothing begins there."""
        alike = self._delimiters.get(_bare(self.lines[at]), [])
        following = bisect_right(alike, at)
        begins = following > 0 and alike[following - 1] == at and at not in self._closed
        return alike[following] if begins and following < len(alike) else None

    def _prose(self, first: int, at: int) -> int:
        style = _style(self.lines[at])
        if style is None:
            end = self._paragraph_end(at)
            code = self.lines[at].startswith((" ", "\t"))
            self.marks.mark(BlockKind.CODE if code else BlockKind.PARAGRAPH, first, end)
            return end
        end, inner = self._item_end(at, style)
        self.marks.mark(BlockKind.LIST, first, end)
        for start in inner:
            self._delimited(start, start)
        return end

    def _paragraph_end(self, at: int) -> int:
        for n in range(at + 1, len(self.lines)):
            line = self.lines[n]
            attributes = line.startswith("[") and _ABOVE.fullmatch(line)
            if not line.strip() or n in self._closed or attributes or self._close(n) is not None:
                return n
        return len(self.lines)

    def _item_end(self, at: int, style: str) -> tuple[int, list[int]]:
        """The line after a list item and the items in it, and the delimited blocks they hold."""
        inner: list[int] = []
        n = at + 1
        while self.lines[n - 1].rstrip().endswith(style) and style == self._style_at(n):
            n += 1  # two terms with one description
        while n < len(self.lines) and n not in self._closed and _style(self.lines[n]) != style:
            if (close := self._close(n)) is not None:
                inner.append(n)
                n = close + 1
            elif self.lines[n].strip():
                n += 1
            elif (following := self._filled(n)) is None:
                break
            else:
                n = following
        return n, inner

    def _filled(self, at: int) -> int | None:
        """The line after blank ones, if it still belongs to the list."""
        while at < len(self.lines) and not self.lines[at].strip():
            at += 1
        if at == len(self.lines) or at in self._closed:
            return None
        line = self.lines[at]
        goes_on = line.startswith((" ", "\t")) or line == "+" or self._style_at(at) is not None
        return at if goes_on else None

    def _style_at(self, at: int) -> str | None:
        return _style(self.lines[at]) if at < len(self.lines) else None


def _bare(line: str) -> str:
    line = line.rstrip()
    return "```" if line.startswith("```") else line


def _underlines(under: str, title: str) -> bool:
    return (
        _UNDERLINE.fullmatch(under) is not None
        and re.search(r"\w", title) is not None
        and not title[:1].isspace()
        and abs(len(under.rstrip()) - len(title.rstrip())) < 2
    )


def _style(line: str) -> str | None:
    """The kind of marker that begins a list item; None if none does."""
    if match := _ITEM.match(line):
        return next(mark for mark in match.groups() if mark is not None) or "<>"
    term = _TERM.match(line[:_LONGEST_TITLE])
    return term[1] if term else None


def _plain(title: str) -> str:
    words = _MARKUP.sub(lambda match: next(filter(None, match.groups())), title[:_LONGEST_TITLE])
    return " ".join(words.split())
