"""Bodies are read, and refused, as Go's decoder does it."""

import pytest

from ingestion_assets.local.go_json import DecodeError, decode, replace_surrogates

FIELDS = {"model": "string", "dimensions": "int", "truncate": "bool", "input": "interface {}"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "EOF"),
        (b" \n", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"model"', "unexpected EOF"),
        (b'{"model":"a', "unexpected EOF"),
        (b'{"model":tru', "unexpected EOF"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b'{"input":[1,]}', "invalid character ']' looking for beginning of value"),
        (b'{"model":"a",}', "invalid character '}' looking for beginning of object key string"),
        (b"{model:1}", "invalid character 'm' looking for beginning of object key string"),
        (b'{"model" 1}', "invalid character '1' after object key"),
        (b'{"model":"a" "b"}', "invalid character '\"' after object key:value pair"),
        (b'{"input":[1 2]}', "invalid character '2' after array element"),
        (b'{"model":trux}', "invalid character 'x' in literal true (expecting 'e')"),
        (b'{"model":"a\nb"}', "invalid character '\\n' in string literal"),
        (b'{"model":"\\q"}', "invalid character 'q' in string escape code"),
        (b'{"model":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"{\"model\":'a'}", "invalid character '\\'' looking for beginning of value"),
        (b"[" * 200_000, "exceeded max depth"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.R"),
        (
            b'{"dimensions":1.5}',
            "json: cannot unmarshal number 1.5 into Go struct field R.dimensions of type int",
        ),
        (
            b'{"truncate":"no"}',
            "json: cannot unmarshal string into Go struct field R.truncate of type bool",
        ),
        (
            b'{"dimensions":true}',
            "json: cannot unmarshal bool into Go struct field R.dimensions of type int",
        ),
    ],
)
def test_what_is_wrong_is_said_in_gos_words(body, error):
    with pytest.raises(DecodeError) as caught:
        decode(body, "R", FIELDS)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"model":"a","other":1}', {"model": "a"}),
        (b'{"MODEL":"a"}', {"model": "a"}),
        (b'{"model":null}', {}),
        (b"null", {}),
        (b'{"model":"a"} and more', {"model": "a"}),
        (b'{"model":"a\xff"}', {"model": "a\ufffd"}),
        (b'{"input":[1,{"a":null}]}', {"input": [1, {"a": None}]}),
    ],
)
def test_what_go_accepts_is_accepted(body, fields):
    assert decode(body, "R", FIELDS) == fields


def test_pairs_of_surrogates_stay_and_halves_are_replaced():
    assert replace_surrogates("a😀") == "a😀"
    assert replace_surrogates("a\ud800b") == "a\ufffdb"
