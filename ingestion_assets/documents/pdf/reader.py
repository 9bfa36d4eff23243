"""PDF bytes in, Markdown out, through PDFium."""

import re
import threading
from typing import Any

import pypdfium2 as pdfium

from ingestion_assets.documents.document import UnreadableError
from ingestion_assets.documents.pdf import layout, running, tables
from ingestion_assets.documents.pdf.lines import Line, Typeset
from ingestion_assets.documents.pdf.styles import Styles, styles
from ingestion_assets.documents.rendering import Rendering

_DATE = re.compile(r"D:(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(?:(Z)|([+-]\d\d)'?(\d\d))?")
_FILE_NAME = re.compile(r"Microsoft \w+ - |untitled|.*\.(?:dvi|tex|docx?|pptx?|indd|pdf)$", re.I)
_ONE_AT_A_TIME = threading.Lock()  # PDFium is not made for threads
_PASSWORD = 4  # PDFium's number of this error


def read(raw: bytes) -> tuple[str, str, dict[str, Any]]:
    """The text in reading order, with headings by their font, lists, code and ruled tables.

    Running headers and footers are left out, divided words are joined, and a paragraph goes on over
    the end of its page. A page that cannot be read costs that page.

    Raises:
        UnreadableError: encrypted, broken, or without text.
    """
    with _ONE_AT_A_TIME:
        document = _opened(raw)
        try:
            return _read(document)
        finally:
            document.close()


def _opened(raw: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(raw)
    except pdfium.PdfiumError as exc:
        if exc.err_code == _PASSWORD:
            raise UnreadableError("the PDF is encrypted; save it without a password") from exc
        raise UnreadableError(f"the PDF is broken ({exc}); repair it") from exc


def _read(document: pdfium.PdfDocument) -> tuple[str, str, dict[str, Any]]:
    pages: list[list[Line]] = []
    unread = 0
    for number in range(len(document)):
        try:
            pages.append(_lines(document[number]))
        except pdfium.PdfiumError:
            pages.append([])
            unread += 1
    if not any(pages):
        count = len(pages)
        raise UnreadableError(f"the PDF has no text on its {count} pages; run OCR over it")
    rendering = _rendered(running.body(pages))
    said = document.get_metadata_dict(skip_empty=True)
    metadata = {
        "pages": rendering.pages,
        "author": said.get("Author"),
        "created": _date(said.get("CreationDate", "")),
        "modified": _date(said.get("ModDate", "")),
        "unread_pages": unread,
    }
    title = said.get("Title", "")
    return rendering.text(), "" if _FILE_NAME.match(title) else title, metadata


def _lines(page: pdfium.PdfPage) -> list[Line]:
    typeset = Typeset(page)
    try:
        return tables.with_tables(page, typeset, list(typeset.lines()))
    finally:
        typeset.close()
        page.close()


def _rendered(pages: list[list[Line]]) -> Rendering:
    rendering = Rendering()
    found = styles(pages)
    for page in pages:
        rendering.turn_page()
        _render(page, found, rendering)
    return rendering


def _render(page: list[Line], found: Styles, rendering: Rendering) -> None:
    for at, block in enumerate(layout.blocks(page, found)):
        if block.cells:
            rendering.table(block.cells)
        elif block.level:
            rendering.heading(block.level, block.text)
        elif block.is_code:
            rendering.code(block.code())
        elif item := block.marker():
            rendering.item(item[1], marker=item[0])
        else:
            rendering.paragraph(block.text, continued=at == 0 and block.text[0].islower())


def _date(text: str) -> str | None:
    """A PDF's date in ISO 8601, without what it does not say."""
    if not (match := _DATE.match(text)):
        return None
    year, month, day, hour, minute, second, utc, east, minutes = match.groups()
    zone = "Z" if utc or east == "-00" else f"{east}:{minutes}" if east else ""
    return f"{year}-{month}-{day}" + (f"T{hour}:{minute}:{second or '00'}{zone}" if hour else "")
