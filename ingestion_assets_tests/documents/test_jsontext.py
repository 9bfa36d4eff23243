import json

import pytest

from ingestion_assets import documents
from ingestion_assets.documents.document import BlockKind
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.documents.jsontext import read, read_lines
from ingestion_assets.errors import ExtractionError
from ingestion_assets_tests.documents.given import checked

ARTICLES = [
    {"id": 7, "headline": "Knots", "body": "# not a heading", "by": {"name": "Ada"}, "tags": []},
    {"id": 8, "headline": "Ropes", "body": "One.\n\nTwo.", "by": {"name": "Bob"}, "tags": ["a"]},
]
FIELDS = FieldMap(text=("body",), title="headline", id="id", metadata=("by.name", "tags"))


def test_without_a_field_map_every_value_stands_behind_its_path():
    value = {"a": {"b": 1, "c.d": None}, "e": [True, "x"], "f": [{"g": 2.50}, []], "h": "i\nj"}
    assert read(json.dumps(value)).text == "a.b: 1\ne: true, x\nf.0.g: 2.5\nh: i\n  j"


def test_every_element_of_an_array_is_a_record():
    text = read(json.dumps([*ARTICLES, 3, "word"])).text
    found = checked("application/json", text)
    assert [block.kind for block in found] == [BlockKind.RECORD] * 4


def test_an_array_in_an_envelope_is_found():
    assert read('{"count": 2, "items": [{"a": 1}, {"a": 2}]}').text == "count: 2\n\na: 1\n\na: 2"
    mapped = read(json.dumps({"count": 2, "items": ARTICLES}), FieldMap(text=("by.name",)))
    assert mapped.text == "Ada\n\nBob"


def test_a_field_map_makes_headings_and_texts_of_many_records():
    assert read(json.dumps(ARTICLES), FIELDS).text == (
        "# Knots\n\nid: 7\nby.name: Ada\n\\# not a heading\n\n"
        "# Ropes\n\nid: 8\nby.name: Bob\ntags: a\nOne.\nTwo."
    )


def test_what_is_said_of_a_lone_record_is_said_of_the_document():
    raw = json.dumps(ARTICLES[1]).encode()
    extract = documents.extract("a/8.json", raw, fields=FIELDS)
    assert (extract.title, extract.text) == ("Ropes", "# Ropes\n\nOne.\nTwo.")
    assert extract.metadata == {"encoding": "utf-8", "id": 8, "by.name": "Bob", "tags": ["a"]}


def test_several_paths_make_one_text():
    fields = FieldMap(text=("q", "answers.0.text"))
    assert read('{"q": "Why?", "answers": [{"text": "So."}]}', fields).text == "Why?\nSo."


def test_records_without_a_text_are_counted_and_none_with_one_is_an_error():
    reading = read('[{"body": "x"}, {"body": null}, 3]', FieldMap(text=("body",)))
    assert (reading.text, reading.metadata) == ("x", {"records_without_text": 2})
    with pytest.raises(ExtractionError, match=r"no record has a text at a, b.*`fields`"):
        documents.extract("x.json", b'[{"c": 1}]', fields=FieldMap(text=("a", "b")))


def test_broken_lines_are_counted_and_named():
    reading = read_lines('{"a": 1}\n\n{"a": \n{"a": 2}\nnonsense\n')
    assert reading.text == "a: 1\n\na: 2"
    assert reading.metadata == {"broken_lines": 2, "broken_line_numbers": [3, 5]}
    with pytest.raises(ValueError, match="line 1: Expecting"):
        read_lines("{\n{\n")


def test_json_lines_are_read_under_another_name():
    assert read('{"a": 1}\n{"a": 2}').text == "a: 1\n\na: 2"


def test_what_python_writes_and_postgres_cannot_store_is_made_storable():
    text = r'{"text": "a\u0000b\ud800", "n": [NaN, 1e999], "k\u0000": 1}'
    reading = read(text, FieldMap(text=("text",), metadata=("n", "k")))
    assert reading.text == "ab?"
    assert reading.metadata == {"n": ["NaN", "inf"], "k": 1}


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 500 + "]" * 500, '{"a": ', "1" * 5000])
def test_what_cannot_be_parsed_is_one_error(text):
    with pytest.raises(ExtractionError, match=r"'x.json'.*cannot be read as application/json"):
        documents.extract("x.json", text.encode())
