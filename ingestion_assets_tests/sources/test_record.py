from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ingestion_assets.errors import SourceError
from ingestion_assets.sources.record import Record, checked

EAST = timezone(timedelta(hours=2))


def test_a_checked_record_is_plain():
    at = datetime(2024, 1, 31, 2, tzinfo=EAST)
    metadata: dict[Any, Any] = {"tags": ("a", "b"), 1: None}
    record = Record("a", "wörds", metadata=metadata, modified_at=at)
    plain = checked(record, 100)
    assert plain.content == "wörds".encode()
    assert plain.metadata == {"tags": ["a", "b"], "1": None}
    assert plain.modified_at == at
    assert plain.modified_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"content": None}, "neither text nor bytes"),
        ({"content": "\ud800"}, "give bytes"),
        ({"content": "x" * 101}, "more than the 100 of `max_bytes`"),
        ({"media_type": "image/png"}, "'image/png' is not read; give one of text/markdown"),
        ({"title": "a\0"}, "give plain text"),
        ({"title": 5}, "give plain text"),
        ({"metadata": None}, "not JSON"),
        ({"metadata": {"a": float("nan")}}, "not JSON"),
        ({"metadata": {"a": object()}}, "not JSON"),
        ({"provenance": {"a": object()}}, "not JSON"),
        ({"metadata": {"a": "\ud800"}}, "not JSON"),
        ({"metadata": {"a": r"\\" + "\0"}}, "remove it"),
        ({"modified_at": datetime(2024, 1, 31)}, "no time zone; give it one"),
        ({"modified_at": 5}, "no time zone; give it one"),
        ({"modified_at": datetime.min.replace(tzinfo=EAST)}, "out of range"),
    ],
)
def test_what_cannot_be_stored_is_named_with_the_remedy(fields, remedy):
    with pytest.raises(SourceError, match="'a': ") as caught:
        checked(Record(**{"uri": "a", "content": "words", **fields}), 100)
    assert remedy in str(caught.value)


def test_an_escaped_backslash_is_no_nul():
    assert checked(Record("a", "", metadata={"a": r"\u0000"}), 100).metadata == {"a": r"\u0000"}


def test_the_identity_of_bare_content_is_the_content():
    assert Record("a", "words", modified_at=datetime.now(UTC)).identity() == b"words"


@pytest.mark.parametrize(
    "fields", [{"title": "T"}, {"media_type": "text/html"}, {"metadata": {"a": 1}}]
)
def test_the_identity_has_what_is_said_of_the_content(fields):
    assert Record("a", "words", **fields).identity() != b"words"
