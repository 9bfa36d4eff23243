"""PDFs drawn by PDFium, for want of a writer that is already here."""

import ctypes
import io
from collections.abc import Sequence

import pypdfium2 as pdfium
import pypdfium2.raw as c

Text = tuple[float, float, float, str, str]  # left, baseline, size, font, text
Rule = tuple[float, float, float, float]  # left, bottom, width, height


def pdf(pages: Sequence[Sequence[Text]], rules: Sequence[Rule] = ()) -> bytes:
    """Pages of Letter size; the rules are on each of them."""
    document = pdfium.PdfDocument.new()
    for texts in pages:
        page = document.new_page(612, 792)
        for left, baseline, size, font, text in texts:
            _write(document, page, text, (left, baseline, size), font)
        for rule in rules:
            path = c.FPDFPageObj_CreateNewRect(*rule)
            c.FPDFPath_SetDrawMode(path, c.FPDF_FILLMODE_WINDING, False)
            c.FPDFPage_InsertObject(page, path)
        page.gen_content()
    out = io.BytesIO()
    document.save(out)
    document.close()
    return out.getvalue()


def _write(
    document: pdfium.PdfDocument,
    page: pdfium.PdfPage,
    text: str,
    place: tuple[float, ...],
    font: str,
) -> None:
    left, baseline, size = place
    drawn = c.FPDFPageObj_NewTextObj(document, font.encode(), size)
    wide = ctypes.create_string_buffer((text + "\0").encode("utf-16-le"))
    c.FPDFText_SetText(drawn, ctypes.cast(wide, c.FPDF_WIDESTRING))
    c.FPDFPageObj_Transform(drawn, 1, 0, 0, 1, left, baseline)
    c.FPDFPage_InsertObject(page, drawn)


def paragraph(
    left: float, top: float, lines: Sequence[str], font: str = "Helvetica", size: float = 10
) -> list[Text]:
    """Lines below each other, 1.2 sizes apart."""
    return [(left, top - at * size * 1.2, size, font, line) for at, line in enumerate(lines)]
