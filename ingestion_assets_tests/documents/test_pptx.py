import io

import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.presentation import Presentation
from pptx.util import Inches

from ingestion_assets import documents
from ingestion_assets.documents.document import Extract
from ingestion_assets.errors import ExtractionError
from ingestion_assets_tests.documents.given import checked

AREA = Inches(1), Inches(1), Inches(4), Inches(3)


def extracted(presentation: Presentation) -> Extract:
    out = io.BytesIO()
    presentation.save(out)
    extract = documents.extract("a.pptx", out.getvalue())
    checked(extract.media_type, extract.text)
    return extract


def test_slides_are_pages_with_title_items_and_notes():
    presentation = pptx.Presentation()
    for title in ("First", "Second"):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        frame = slide.placeholders[1].text_frame
        frame.text = "point"
        frame.add_paragraph().text = "detail"
        frame.paragraphs[1].level = 1
        slide.notes_slide.notes_text_frame.text = "say it"
    extract = extracted(presentation)
    slide = "# {}\n\n- point\n    - detail\n\nNotes: say it"
    assert extract.text == slide.format("First") + "\n\n" + slide.format("Second")
    assert [extract.text[at:][:5] for at in extract.metadata["pages"]] == ["# Fir", "# Sec"]
    assert extract.title == "First"


def test_tables_charts_and_groups_are_read():
    presentation = pptx.Presentation()
    shapes = presentation.slides.add_slide(presentation.slide_layouts[6]).shapes
    table = shapes.add_table(2, 2, *AREA).table
    for at, text in enumerate("abcd"):
        table.cell(at // 2, at % 2).text = text
    data = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["East", "West"]
    data.add_series("2024", (1.5, 2))  # type: ignore[no-untyped-call]
    shapes.add_chart(XL_CHART_TYPE.PIE, *AREA, data)
    shapes.add_group_shape().shapes.add_textbox(*AREA).text_frame.text = "inside"
    assert extracted(presentation).text == (
        "| a | b |\n| --- | --- |\n| c | d |\n\n"
        "|  | 2024 |\n| --- | --- |\n| East | 1.5 |\n| West | 2 |\n\ninside"
    )


def test_a_hidden_slide_keeps_its_number_and_is_counted():
    presentation = pptx.Presentation()
    for title in ("Shown", "Hidden"):
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = title
    slide.element.set("show", "0")
    extract = extracted(presentation)
    assert extract.text == "# Shown"
    assert extract.metadata["pages"] == [0, 7]
    assert extract.metadata["hidden_slides"] == 1


def test_a_truncated_presentation_is_named():
    out = io.BytesIO()
    pptx.Presentation().save(out)
    with pytest.raises(ExtractionError, match=r"'a\.pptx'.*truncated"):
        documents.extract("a.pptx", out.getvalue()[:5000])
