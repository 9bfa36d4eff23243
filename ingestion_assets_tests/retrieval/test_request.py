"""What cannot be searched for is refused, with the reason."""

from datetime import UTC, datetime

import pytest

from ingestion_assets.errors import QueryError
from ingestion_assets.retrieval.request import Filters, Search, moment


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"text": " \n"}, "empty"),
        ({"text": "x" * 8193}, "8,193 characters"),
        ({"text": "a\0b"}, "NUL"),
        ({"text": "a\ud800b"}, "surrogates"),
        ({"text": "a", "k": 0}, "k=0"),
        ({"text": "a", "k": 1001}, "k=1001"),
        ({"text": "a", "method": "magic"}, "method='magic'"),
        ({"text": "a", "mode": "magic"}, "mode='magic'"),
        ({"text": "a", "rerank": "magic"}, "rerank='magic'"),
        ({"text": "a", "relevance": 1.5}, "relevance=1.5"),
    ],
)
def test_a_search_that_cannot_be_done_is_refused(request_, reason):
    with pytest.raises(QueryError, match=reason):
        Search(**request_)


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ({"source": "a\0"}, "filter source holds a NUL"),
        ({"uri_prefix": "\udcff"}, "filter uri_prefix is not valid Unicode"),
        ({"metadata": {"a": {"b": ["\0"]}}}, "metadata holds a NUL"),
        ({"metadata": {"a\0": 1}}, "metadata holds a NUL"),
        ({"metadata": {"a": "\ud800"}}, "not JSON"),
        ({"metadata": {"a": object()}}, "not JSON"),
        ({"metadata": {"a": "x" * 9000}}, "bytes"),
        ({"modified_after": datetime(2026, 1, 1)}, "modified_after names no time zone"),
        ({"modified_before": datetime(2026, 1, 1)}, "modified_before names no time zone"),
    ],
)
def test_a_filter_that_cannot_be_compared_is_refused(filters, reason):
    with pytest.raises(QueryError, match=reason):
        Filters(**filters)


def test_a_date_without_a_zone_is_utc():
    assert moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert moment("2026-01-31T12:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)
    with pytest.raises(QueryError, match="'soon' is no date"):
        moment("soon")


def test_no_filter_is_false():
    assert not Filters()
    assert Filters(domain="")
