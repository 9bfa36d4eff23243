"""A query is a source: read only what changed, lose nothing, and say no secret."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
import pytest

from ingestion_assets.errors import ConfigError, MassDeletionError, SourceError
from ingestion_assets.sources import Source
from ingestion_assets.sources.addresses import Query
from ingestion_assets.sources.listing import digests
from ingestion_assets.sources.origin import Found
from ingestion_assets.sources.origins import origin
from ingestion_assets.sources.postgres import Rows
from ingestion_assets_tests.sources.given import Store, counts

QUERY = """
SELECT 'tickets/' || id AS uri, body AS text, subject AS title, changed AS modified_at, state
FROM tickets WHERE body NOT LIKE '%secret%' -- the public ones
"""


@pytest.fixture
def tickets(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE tickets (id int, subject text, body text, state text,"
            " changed timestamptz DEFAULT now() - interval '1 hour')"
        )
        connection.execute(
            "INSERT INTO tickets (id, subject, body, state)"
            " SELECT n, 'Ticket ' || n, 'Words of ' || n, 'open' FROM generate_series(1, 10) n"
        )
        yield connection


@pytest.fixture
def source(tickets: psycopg.Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv("TICKETS_URL", database)
    return Source("handbook", postgres=Query(QUERY, "TICKETS_URL"))


def asking(source: Source, query: str) -> Source:
    return replace(source, postgres=Query(query, "TICKETS_URL"))


def test_rows_are_documents(source: Source, tickets: psycopg.Connection) -> None:
    tickets.execute("UPDATE tickets SET state = NULL, changed = '2024-01-31 12:00+01' WHERE id = 7")
    store = Store()
    assert counts(store.run(source))["new"] == 10
    row = next(r for change in store.changes for r in change.rows if r.uri == "tickets/7")
    assert (row.title, row.text, row.media_type) == ("Ticket 7", "Words of 7", "text/plain")
    assert row.modified_at == datetime(2024, 1, 31, 11, tzinfo=UTC)
    assert "state" not in row.metadata
    other = next(r for change in store.changes for r in change.rows if r.uri == "tickets/8")
    assert other.metadata["state"] == "open"


def test_only_rows_with_another_time_are_read(source: Source, tickets: psycopg.Connection) -> None:
    store = Store()
    store.run(source)
    assert counts(store.run(source)) == {"seen": 10, "unchanged": 10}
    tickets.execute("UPDATE tickets SET body = 'Others', changed = now() WHERE id = 3")
    tickets.execute("UPDATE tickets SET body = 'Not told of' WHERE id = 4")
    assert counts(store.run(source)) == {"seen": 10, "unchanged": 9, "changed": 1, "bytes_read": 6}


def test_without_a_time_the_content_tells(source: Source, tickets: psycopg.Connection) -> None:
    source = asking(source, "SELECT id AS uri, body AS text FROM tickets")
    store = Store()
    store.run(source)
    tickets.execute("UPDATE tickets SET body = 'Others' WHERE id = 3")
    run = store.run(source)
    assert (run.counts.unchanged, run.counts.changed) == (9, 1)


def test_a_partition_reads_its_own_rows(source: Source) -> None:
    source, store = replace(source, buckets=4), Store()
    runs = [store.run(source, key) for key in source.partition_keys()]
    assert sum(run.counts.new for run in runs) == 10
    assert sum(run.counts.bytes_read for run in runs) == len("Words of 1") * 10 + 1
    again = [store.run(source, key) for key in source.partition_keys()]
    assert sum(run.counts.bytes_read for run in again) == 0


def test_rows_that_are_gone_are_deleted(source: Source, tickets: psycopg.Connection) -> None:
    store = Store()
    store.run(source)
    tickets.execute("DELETE FROM tickets WHERE id = 3")
    assert store.run(source).counts.gone == 1
    tickets.execute("DELETE FROM tickets WHERE id > 5")
    with pytest.raises(MassDeletionError, match="5 of the 9"):
        store.run(source)
    tickets.execute("DELETE FROM tickets")
    with pytest.raises(MassDeletionError, match="is empty, but 9"):
        store.run(source)
    assert len(store.known) == 9


def test_bytes_are_read_as_a_file_of_their_media_type(source: Source) -> None:
    query = (
        "SELECT 'page' AS uri, convert_to('<h1>Ä</h1><p>x', 'UTF8') AS content,"
        " 'text/html' AS media_type, '{\"a\": [1]}'::jsonb AS metadata, 1.5 AS price"
    )
    store = Store()
    store.run(asking(source, query))
    (row,) = store.changes[0].rows
    assert (row.media_type, row.title) == ("text/html", "Ä")
    assert (row.metadata["a"], row.metadata["price"]) == ([1], 1.5)


def test_an_unusable_row_costs_itself_alone(source: Source, tickets: psycopg.Connection) -> None:
    store = Store()
    store.run(source)
    tickets.execute("UPDATE tickets SET id = NULL WHERE id = 1")
    tickets.execute("UPDATE tickets SET body = repeat('x', 99), changed = now() WHERE id = 2")
    tickets.execute("UPDATE tickets SET id = 4 WHERE id = 3")
    query = QUERY.replace("WHERE body", "WHERE body IS NULL OR body")
    tickets.execute("UPDATE tickets SET body = NULL, changed = now() WHERE id = 5")
    run = store.run(replace(asking(source, query), max_bytes=98))
    assert sorted((f.uri[:9], f.message.partition(": ")[2][:24]) for f in run.failures) == [
        ("row 7", "uri None is no name; giv"),
        ("tickets/2", "has 99 bytes, more than "),
        ("tickets/4", "comes twice; leave one o"),
        ("tickets/5", "has neither text nor con"),
    ]
    assert run.counts.gone == 2  # tickets 1 and 3
    assert {"tickets/2", "tickets/4", "tickets/5"} < store.known.keys()
    assert counts(Store().run(source)) | {"bytes_read": 0} == {
        "seen": 9, "new": 7, "failed": 2, "bytes_read": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT id, body AS text FROM tickets", "no column `uri`.*columns are id, text"),
        ("SELECT id AS uri FROM tickets", "exactly one of the columns `text` and `content`"),
        ("SELECT id AS uri, body AS content FROM tickets", "`content` that is no bytea"),
        ("SELECT id AS uri, body AS text FROM no_table", 'no_table" does not exist'),
        ("SELECT 1 AS uri; DROP TABLE tickets", "syntax error"),
        ("SELEC", "syntax error"),
    ],
)
def test_a_wrong_query_is_a_configuration_error(source: Source, query: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Store().run(asking(source, query))


def test_nothing_can_be_written(source: Source, tickets: psycopg.Connection) -> None:
    tickets.execute("CREATE SEQUENCE seen")
    with pytest.raises(SourceError, match="read-only transaction"):
        Store().run(asking(source, "SELECT nextval('seen') AS uri, 'x' AS text"))


def test_a_query_has_a_limit_of_time(source: Source) -> None:
    slow = Query("SELECT 'a' AS uri, pg_sleep(600)::text AS text", "TICKETS_URL", timeout=0.1)
    with pytest.raises(
        SourceError, match=r"statement timeout.*nothing is deleted; raise `timeout`"
    ):
        Store().run(replace(source, postgres=slow))


def test_a_lost_database_deletes_nothing_and_its_password_is_not_told(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    store.run(source)
    monkeypatch.setenv("TICKETS_URL", "postgresql://me:hidden@127.0.0.1:1/nowhere")
    with pytest.raises(SourceError, match=r"\$TICKETS_URL.*nothing is deleted") as caught:
        store.run(source)
    assert "hidden" not in str(caught.value) + repr(caught.value.__cause__) + str(source.settings())
    monkeypatch.delenv("TICKETS_URL")
    with pytest.raises(ConfigError, match="TICKETS_URL is not set"):
        store.run(source)
    assert len(store.known) == 10


def test_a_sensor_sees_which_partition_changed(source: Source, tickets: psycopg.Connection) -> None:
    source = replace(source, buckets=4)
    before = digests(source)
    assert digests(source) == before
    tickets.execute("UPDATE tickets SET changed = now() WHERE id = 3")
    after = digests(source)
    assert {k for k in before if before[k] != after[k]} == {source.partition_key("tickets/3")}
    listed = [found for found in Rows(source).survey() if isinstance(found, Found)]
    assert digests(source, [replace(found, bytes=9) for found in listed]) == after


def test_without_a_time_a_sensor_cannot_tell(source: Source) -> None:
    source = asking(source, "SELECT id AS uri, body AS text FROM tickets")
    assert origin(source).watched() is None
    assert len([*Rows(source).survey()]) == 10


def test_the_url_may_be_written_down_without_a_password(source: Source, database: str) -> None:
    if urlsplit(database).password:
        pytest.skip("this server wants one")
    source = replace(source, postgres=Query(QUERY, url=database))
    assert origin(source).name == f"postgres {database}"
    assert Store().run(source).counts.new == 10
