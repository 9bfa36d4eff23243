"""DOCX bytes in, Markdown out: python-docx opens the package, its elements are walked here.

python-docx's own paragraphs leave out content controls, insertions, text boxes and notes.
"""

import io
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml.ns import nsmap, qn
from docx.oxml.parser import parse_xml
from docx.parts.document import DocumentPart
from lxml import etree

from ingestion_assets.documents import office
from ingestion_assets.documents.numbering import Numbering, Styles
from ingestion_assets.documents.rendering import Rendering

_P, _TBL, _TR, _TC = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_WITHIN = {
    qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:moveTo"), qn("w:customXml"),
    qn("w:smartTag"),
}  # fmt: skip
_GONE = {
    qn("w:del"), qn("w:moveFrom"),
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}  # fmt: skip
_NO_TEXT = {*_GONE, qn("w:pPr"), qn("w:rPr"), qn("w:txbxContent")}
_TEXT = {qn("w:t"), "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"}
_MARKS = {
    qn("w:tab"): " ", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-",
}  # fmt: skip
_NOTES = {qn("w:footnoteReference"): "footnote", qn("w:endnoteReference"): "endnote"}
_LARGEST_CELL = 1000  # characters; more means that the table lays out a page


def read(raw: bytes) -> tuple[str, str, dict[str, Any]]:
    """Headings, paragraphs, lists and tables in their order, notes at the end.

    Deleted text, comments, page headers and tables of contents are left out.

    Raises:
        UnreadableError: encrypted, truncated, or too large.
    """
    office.archive(raw).close()
    document = docx.Document(io.BytesIO(raw))
    title, metadata = office.properties(document.part.package)
    writer = _Writer(document.part)
    writer.walk(document.element.body)
    writer.end_notes()
    return writer.rendering.text(), title, metadata


class _Writer:
    """Elements in, Markdown out."""

    def __init__(self, part: DocumentPart) -> None:
        self.rendering = Rendering()
        self._part = part
        self._styles = Styles(part.styles.element)
        self._numbering = Numbering(_related(part, RELATIONSHIP_TYPE.NUMBERING))
        self._notes: list[tuple[str, str]] = []  # kind and id of those referred to

    def walk(self, parent: etree._Element) -> None:
        """Write the paragraphs and tables below an element."""
        for child in parent:
            if child.tag == _P:
                self._paragraph(child)
            elif child.tag == _TBL:
                self._table(child)
            elif child.tag in _WITHIN:
                self.walk(child)

    def end_notes(self) -> None:
        """Write the notes that were referred to, in their order."""
        types = {"footnote": RELATIONSHIP_TYPE.FOOTNOTES, "endnote": RELATIONSHIP_TYPE.ENDNOTES}
        roots = {kind: _related(self._part, found) for kind, found in types.items()}
        bodies = {
            (kind, note.get(qn("w:id"), "")): note
            for kind, root in roots.items()
            if root is not None
            for note in root.iter(qn(f"w:{kind}"))
        }
        for number, key in enumerate(self._notes, 1):
            if key in bodies:
                self.rendering.paragraph(f"[{number}] {self._all_text(bodies[key])}")

    def _paragraph(self, paragraph: etree._Element) -> None:
        style = self._styles.of(paragraph)
        text = "".join(self._text(paragraph))
        if style.is_contents:
            return
        if style.level:
            self.rendering.heading(style.level, text)
        elif style.numbering and (marker := self._numbering.marker(*style.numbering)):
            self.rendering.item(text, style.numbering[1], marker)
        else:
            self.rendering.paragraph(text)
        for box in paragraph.iter(qn("w:txbxContent")):
            if not any(parent.tag in _NO_TEXT for parent in box.iterancestors()):
                self.walk(box)

    def _text(self, element: etree._Element) -> Iterator[str]:
        for child in element:
            if child.tag in _TEXT:
                yield child.text or ""
            elif child.tag in _MARKS:
                yield _MARKS[child.tag]
            elif child.tag in _NOTES:
                self._notes.append((_NOTES[child.tag], child.get(qn("w:id"), "")))
                yield f"[{len(self._notes)}]"
            elif child.tag not in _NO_TEXT:
                yield from self._text(child)

    def _all_text(self, parent: etree._Element) -> str:
        texts = (
            "".join(self._text(paragraph))
            for paragraph in parent.iter(_P)
            if not any(around.tag in _GONE for around in paragraph.iterancestors())
        )
        return " ".join(text for text in texts if text.strip())

    def _table(self, table: etree._Element) -> None:
        noted = len(self._notes)
        rows = [list(self._cells(row)) for row in _children(table, _TR)]
        if all(len(cell) <= _LARGEST_CELL for row in rows for cell in row):
            self.rendering.table(rows)
            return
        del self._notes[noted:]
        for row in _children(table, _TR):
            for cell in _children(row, _TC):
                self.walk(cell)

    def _cells(self, row: etree._Element) -> Iterator[str]:
        """Text of each column; what a merged cell goes on over is empty."""
        for cell in _children(row, _TC):
            yield self._all_text(cell)
            span = cell.find("w:tcPr/w:gridSpan", nsmap)
            width = int(span.get(qn("w:val"), "1")) if span is not None else 1
            yield from [""] * (min(width, 64) - 1)


def _children(parent: etree._Element, tag: str) -> Iterator[etree._Element]:
    """The children of a kind, also in content controls."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _WITHIN:
            yield from _children(child, tag)


def _related(part: DocumentPart, relationship: str) -> etree._Element | None:
    try:
        return parse_xml(part.part_related_by(relationship).blob)
    except KeyError:
        return None
