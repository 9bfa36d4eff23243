from ingestion_assets.documents import records
from ingestion_assets_tests.documents.given import pieces


def test_a_record_is_a_line_for_each_value_that_says_something():
    pairs = [("name", "Ada"), ("", "no name"), ("empty", " "), ("note", "one\n\n two\n")]
    assert records.rendered(pairs) == "name: Ada\nno name\nnote: one\n   two"


def test_records_and_headings_are_blocks():
    text = records.joined(["# Sheet", records.rendered([("# of items", "3")]), "", "a: 1\nb: 2"])
    assert pieces("text/csv", text) == [
        ("heading", "# Sheet"),
        ("record", "\\# of items: 3"),
        ("record", "a: 1\nb: 2"),
    ]
