import pytest

from ingestion_assets.documents.delimited import read
from ingestion_assets.documents.fields import FieldMap


def records_of(text: str) -> list[str]:
    return read(text).text.split("\n\n")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_rows_are_named_by_the_header_whatever_divides_them(delimiter):
    text = delimiter.join(["name", "born", "note"]) + "\n" + delimiter.join(["Ada", "1815", "a: b"])
    assert records_of(text) == ["name: Ada\nborn: 1815\nnote: a: b"]


def test_decimal_commas_do_not_divide():
    assert records_of("a;b\n1,5;2,5\n3,5;4,5") == ["a: 1,5\nb: 2,5", "a: 3,5\nb: 4,5"]


def test_excel_says_what_divides():
    assert records_of("sep=;\na,b;c\n1;2\n") == ["a,b: 1\nc: 2"]


def test_quotes_hold_delimiters_line_breaks_and_quotes():
    text = 'id,note\n1,"one, ""two""\n\nthree"\n2, "four"\n'
    assert records_of(text) == ['id: 1\nnote: one, "two"\n  three', "id: 2\nnote: four"]


def test_a_quote_that_nobody_closed_is_only_a_quote():
    text = 'id\tword\n1\t"hello\n2\t5" pipe\n3\t"x"\n'
    assert records_of(text) == ['id: 1\nword: "hello', 'id: 2\nword: 5" pipe', "id: 3\nword: x"]


def test_ragged_and_blank_rows_lose_nothing_and_are_counted():
    reading = read("a,b\n1,2\n3\n\n,,\n4,5,6\n")
    assert reading.text == "a: 1\nb: 2\n\na: 3\n\na: 4\nb: 5\ncolumn 3: 6"
    assert reading.metadata == {"rows": 3, "ragged_rows": 2}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("id,name\n1,x\n2,y", True),
        ("1,x\n2,y\n3,z", False),
        ("a,a\nb,c", False),
        (",price\n0,7\n1,8", True),
        ("city,country\nRome,Italy", True),
        ("only,one,row", False),
        ("2024-01-01,5.5\n2024-01-02,6.5", False),
    ],
)
def test_the_header_is_told_from_the_rows(text, named):
    assert ("column 2" not in read(text).text) is named


def test_a_field_map_applies_to_rows():
    fields = FieldMap(text=("body",), title="head", metadata=("tag",))
    reading = read("head,body,tag\nOne,first,a\nTwo,second,b\n", fields)
    assert reading.text == "# One\n\ntag: a\nfirst\n\n# Two\n\ntag: b\nsecond"
    assert reading.metadata["rows"] == 2


def test_an_empty_table_has_no_text():
    assert read("").text == ""
