import io
from datetime import date
from typing import Any

import pytest
import xlsxwriter

from ingestion_assets import documents
from ingestion_assets.errors import ExtractionError
from ingestion_assets_tests.documents.given import pieces

STAFF = [["Name", "Age", "Since"], ["Ada", 36.0, date(2020, 1, 2)], ["Alan", 41.5, None]]


def workbook(**sheets: Any) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
            if name == "Secret":
                sheet.hide()
    return out.getvalue()


def test_each_row_is_a_record_with_its_headers():
    extract = documents.extract("staff.xlsx", workbook(Staff=STAFF, More=[["a", "b"], [1, 2]]))
    assert pieces(extract.media_type, extract.text) == [
        ("heading", "# Staff"),
        ("record", "Name: Ada\nAge: 36\nSince: 2020-01-02"),
        ("record", "Name: Alan\nAge: 41.5"),
        ("heading", "# More"),
        ("record", "a: 1\nb: 2"),
    ]
    assert extract.title == "staff"


def test_a_title_above_the_headers_is_none_of_them():
    extract = documents.extract("a.xlsx", workbook(Staff=[["All of them"], [], *STAFF]))
    assert extract.text.startswith("# Staff\n\nAll of them\n\nName: Ada\n")


def test_values_stay_on_their_line_and_headings_are_only_sheets():
    extract = documents.extract("a.xlsx", workbook(S=[["# of", "b"], ["x\n\n# y", "z"]]))
    assert pieces(extract.media_type, extract.text)[1:] == [
        ("record", "\\# of: x # y\nb: z"),
    ]


def test_a_hidden_sheet_is_left_out_and_counted():
    extract = documents.extract("a.xlsx", workbook(Staff=STAFF, Secret=STAFF))
    assert "Secret" not in extract.text
    assert extract.metadata == {"sheets": 1, "hidden_sheets": 1}


def test_an_empty_workbook_is_named():
    with pytest.raises(ExtractionError, match=r"'a\.xlsx'.*no filled cell"):
        documents.extract("a.xlsx", workbook(Empty=[]))


def test_a_truncated_workbook_is_named():
    with pytest.raises(ExtractionError, match=r"'a\.xlsx'.*(truncated|repair)"):
        documents.extract("a.xlsx", workbook(Staff=STAFF)[:3000])
