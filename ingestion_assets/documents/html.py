"""HTML in, Markdown and the page's title out.

The parser's events are written as they come: no tree is built, so neither depth nor size matters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lxml import etree

from ingestion_assets.documents.document import Reading
from ingestion_assets.documents.landmarks import Landmarks
from ingestion_assets.documents.rendering import escaped, fenced, table_lines

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = {
    "address", "article", "aside", "body", "center", "details", "dialog", "div", "dl", "dt", "dd",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html",
    "legend", "main", "menu", "optgroup", "option", "p", "search", "section", "summary", "tbody",
    "tfoot", "thead",
}  # fmt: skip

_ANCHORS = {"#", "¶", "§", "🔗"}  # links from a heading to itself
_BREAK = "\0"  # a forced line break: the parser lets no NUL through
_DEEPEST = 8  # containers; deeper ones are not indented further
_LARGEST_CELL = 1000  # characters; more means that the table lays out a page


@dataclass(slots=True)
class _Table:
    """A table being read. Its cells are also written as paragraphs, in case it is only layout."""

    start: int  # in the lines written
    lead: str | None
    cell: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    layout: bool = False

    def end_cell(self) -> None:
        self.rows[-1].append(" ".join(self.cell))
        self.cell.clear()


def read(text: str) -> Reading:
    """The main content of a page as Markdown, and the page's title.

    Every word of it is kept, in order, but for what is hidden, navigation or script. Links and
    emphasis become their text; row and column spans are not drawn.

    Raises:
        lxml.etree.LxmlError: not to be parsed at all.
    """
    writer = _Writer()
    parser = etree.HTMLParser(
        target=writer,  # type: ignore[arg-type]  # the stubs want it to take bytes, too
        encoding="utf-8",
        huge_tree=True,
    )
    etree.fromstring(text.encode(), parser)
    return writer.reading()


class _Writer:
    """Target of lxml's parser: elements and text in, lines of Markdown out."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._title: list[str] = []
        self._inline: list[str] = []  # text of the open paragraph
        self._landmarks = Landmarks()
        self._titles = 0
        self._pre = 0
        self._language = ""
        self._heading = 0
        self._counters: list[int | None] = []  # per list: last number, None if bullets
        self._indents: list[str] = []  # per container
        self._lead: str | None = None  # of the next line, if a container begins there
        self._in_list = False  # the last line was written in a list
        self._tables: list[_Table] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._landmarks.begins(tag, attributes):
            self._flush()
        self._landmarks.start(tag, attributes, len(self._lines))
        if self._landmarks.dropped:
            return
        if tag == "br":
            self._inline.append("\n" if self._pre else _BREAK)
        elif tag == "title":
            self._titles += 1
        elif tag == "pre":
            self._start_pre(attributes)
        elif tag == "code" and self._pre:
            self._language = self._language or _language(attributes)
        else:
            self._start_block(tag)

    def end(self, tag: str) -> None:
        if not self._landmarks.dropped:
            if tag == "title":
                self._titles -= 1
            elif tag == "pre":
                self._end_pre()
            else:
                self._end_block(tag)
        self._landmarks.end(len(self._lines))

    def data(self, data: str) -> None:
        is_mark = self._heading and data.strip() in _ANCHORS
        if not self._landmarks.dropped and not is_mark:
            (self._title if self._titles else self._inline).append(data)

    def close(self) -> None:
        self._flush()

    def reading(self) -> Reading:
        """The main content, after the end of the page."""
        text = "\n".join(self._landmarks.main(self._lines)).strip("\n")
        return Reading(text, " ".join("".join(self._title).split()))

    def _start_block(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._flush()
            self._heading = _HEADINGS[tag]
        elif tag in {"ul", "ol"}:
            self._flush()
            self._counters.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._flush()
            self._enter(self._marker())
        elif tag == "blockquote":
            self._flush()
            self._enter("> ", "> ")
        elif tag in {"table", "caption", "tr", "td", "th"}:
            self._flush()
            self._start_table(tag)
        elif tag in _BLOCKS:
            self._flush()

    def _end_block(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._flush()
            self._heading = 0
        elif tag in {"ul", "ol"}:
            self._flush()
            self._counters.pop()
        elif tag in {"li", "blockquote"}:
            self._flush()
            self._indents.pop()
            self._lead = None
        elif tag in {"table", "caption", "tr", "td", "th"}:
            self._flush()
            self._end_table(tag)
        elif tag in _BLOCKS:
            self._flush()

    def _marker(self) -> str:
        if not self._counters or self._counters[-1] is None:
            return "- "
        self._counters[-1] += 1
        return f"{self._counters[-1]}. "

    def _enter(self, marker: str, indent: str | None = None) -> None:
        if len(self._indents) >= _DEEPEST:
            marker = indent = ""
        self._lead = self._prefix() + marker
        self._indents.append(" " * len(marker) if indent is None else indent)

    def _prefix(self) -> str:
        return "".join(self._indents[:_DEEPEST]) if self._lead is None else self._lead

    def _start_pre(self, attributes: Mapping[str, str]) -> None:
        if not self._pre:
            self._flush()
            self._language = _language(attributes)
        self._pre += 1

    def _end_pre(self) -> None:
        self._pre -= 1
        if self._pre:
            return
        code = "".join(self._inline).strip("\n")
        self._inline.clear()
        if not code.strip():
            return
        if self._tables:
            self._tables[-1].layout = True
        self._write(fenced(code, self._language))

    def _flush(self) -> None:
        """End the paragraph, heading, or line of code that is open."""
        if self._pre:
            if self._inline and not self._inline[-1].endswith("\n"):
                self._inline.append("\n")
            return
        words = "".join(self._inline).split(_BREAK)
        self._inline.clear()
        lines = [line for line in (" ".join(part.split()) for part in words) if line]
        if not lines:
            return
        if self._tables:
            self._tables[-1].cell.extend(lines)
            self._tables[-1].layout |= self._heading > 0
        if self._heading:
            self._write([f"{'#' * self._heading} {' '.join(lines)}"])
            self._heading = 0
        else:
            self._write([escaped(line) for line in lines])

    def _write(self, lines: Sequence[str]) -> None:
        begins_item = self._lead is not None
        if self._lines and not (begins_item and self._in_list):
            self._lines.append("")
        for line in lines:
            self._lines.append((self._prefix() + line).rstrip())
            self._lead = None
        self._in_list = bool(self._indents)

    def _start_table(self, tag: str) -> None:
        if tag == "table":
            if self._tables:
                self._tables[-1].layout = True
            self._tables.append(_Table(len(self._lines), self._lead))
        elif self._tables and (tag == "tr" or (tag != "caption" and not self._tables[-1].rows)):
            self._tables[-1].rows.append([])

    def _end_table(self, tag: str) -> None:
        if not self._tables:
            return
        table = self._tables[-1]
        if tag in {"td", "th"}:
            table.end_cell()
        elif tag == "caption" and not table.rows:  # a paragraph before the table
            table.start, table.lead = len(self._lines), None
            table.cell.clear()
        elif tag == "table":
            self._tables.pop()
            self._draw(table)

    def _draw(self, table: _Table) -> None:
        if table.cell and table.rows:
            table.end_cell()
        rows = [row for row in table.rows if any(row)]
        width = max(map(len, rows), default=0)
        large = any(len(cell) > _LARGEST_CELL for row in rows for cell in row)
        if table.layout or width < 2 or large:
            return
        del self._lines[table.start :]
        self._lead = table.lead
        self._write(table_lines(rows))


def _language(attributes: Mapping[str, str]) -> str:
    match = re.search(r"\blang(?:uage)?-([\w+#-]+)", attributes.get("class", ""))
    return match[1] if match else ""
