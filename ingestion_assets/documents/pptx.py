"""PPTX bytes in, Markdown and the offsets of its slides out."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pptx
from lxml import etree
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.shapes.base import BaseShape
from pptx.slide import Slide

from ingestion_assets.documents import office
from ingestion_assets.documents.rendering import Rendering

_NS = {
    "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
    "c": "http://schemas.openxmlformats.org/drawingml/2006/chart",
}
_TITLES = {PP_PLACEHOLDER.TITLE, PP_PLACEHOLDER.CENTER_TITLE, PP_PLACEHOLDER.VERTICAL_TITLE}
_ITEMS = {PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT, PP_PLACEHOLDER.VERTICAL_BODY}
_RUNNING = {PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER}


def read(raw: bytes) -> tuple[str, str, dict[str, Any]]:
    """Each slide's title as a heading, its texts, tables and charts in their order, its notes.

    Footers and slide numbers are left out, and hidden slides, which are counted.

    Raises:
        UnreadableError: encrypted, truncated, or too large.
    """
    office.archive(raw).close()
    presentation = pptx.Presentation(io.BytesIO(raw))
    title, metadata = office.properties(presentation.part.package)
    rendering = Rendering()
    hidden = 0
    for slide in presentation.slides:
        rendering.turn_page()
        if slide.element.get("show") in {"0", "false"}:
            hidden += 1
        else:
            _slide(slide, rendering)
    text = rendering.text()
    return text, title, {**metadata, "pages": rendering.pages, "hidden_slides": hidden}


def _slide(slide: Slide, rendering: Rendering) -> None:
    shapes = list(_flat(slide.shapes))
    for shape in sorted(shapes, key=lambda shape: _placeholder(shape) not in _TITLES):
        _shape(shape, rendering)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame):
        rendering.paragraph(f"Notes: {frame.text}" if frame.text.strip() else "")


def _flat(shapes: Iterable[BaseShape]) -> Iterator[BaseShape]:
    """The shapes, groups opened."""
    for shape in shapes:
        yield from _flat(shape.shapes) if hasattr(shape, "shapes") else [shape]


def _shape(shape: Any, rendering: Rendering) -> None:
    kind = _placeholder(shape)
    if kind in _RUNNING:
        return
    if shape.has_table:
        rendering.table([[cell.text for cell in row.cells] for row in shape.table.rows])
    elif shape.has_chart:
        _chart(shape.chart.element, rendering)
    elif kind in _TITLES:
        rendering.heading(1, shape.text_frame.text)
    elif shape.has_text_frame and kind in _ITEMS:
        for paragraph in shape.text_frame.paragraphs:
            rendering.item(paragraph.text, paragraph.level)
    elif shape.has_text_frame:
        rendering.paragraph(shape.text_frame.text)


def _placeholder(shape: BaseShape) -> Any:
    return shape.placeholder_format.type if shape.is_placeholder else None


def _chart(chart: etree._Element, rendering: Rendering) -> None:
    """Title and values, a row for each category; python-pptx has them of some kinds only."""
    title = chart.find("c:chart/c:title", _NS)
    if title is not None:
        rendering.paragraph("".join(run.text or "" for run in title.iterfind(".//a:t", _NS)))
    series = list(chart.iterfind(".//c:ser", _NS))
    columns = [_points(one, "val", "yVal") for one in series]
    categories = _points(series[0], "cat", "xVal") if series else {}
    head = ["", *(one.findtext("c:tx//c:v", "", _NS) for one in series)]
    places = sorted(categories.keys() | {at for column in columns for at in column})
    rows = ([one.get(at, "") for one in (categories, *columns)] for at in places)
    rendering.table([head, *rows])


def _points(series: etree._Element, *names: str) -> dict[int, str]:
    """Values by their index."""
    points = [point for name in names for point in series.iterfind(f"c:{name}//c:pt", _NS)]
    return {int(point.get("idx", "0")): point.findtext("c:v", "", _NS) for point in points}
