"""Freshness is measured from the rows: from change and reading to the last vector."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import sql

from ingestion_assets.changes import Changes
from ingestion_assets.store import chunks, documents, freshness, ledger, sources
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.freshness import Waiting, latencies, waiting
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.ledger import Failed
from ingestion_assets_tests.store import rows

NOW = datetime.now(UTC)


@pytest.fixture
def generation(connection: Connection) -> Generation:
    """One that was opened ten days ago."""
    opened = rows.generation(connection)
    connection.execute(
        "UPDATE ingestion.generations SET created_at = %s", (NOW - timedelta(days=10),)
    )
    return opened


def _store(
    connection: Connection,
    generation: Generation,
    uri: str,
    *,
    changed: float,
    read: float,
    vectors: Sequence[float | None],
    key: str = rows.KEY,
) -> None:
    """A document, with the hours ago that it was changed and read, and its chunks got vectors."""
    sources.register(connection, key.partition("/")[0], "files", 1, {})
    owner = replace(rows.document(uri, key=key), modified_at=_ago(changed), ingested_at=_ago(read))
    documents.write(connection, Changes([owner]))
    pieces = rows.split(owner, [f"{uri} {n}" for n in range(len(vectors))])
    chunks.write(connection, rows.batch(owner, new=pieces, key=key))
    for piece, hours in zip(pieces, vectors, strict=True):
        if hours is not None:
            rows.embed(connection, generation, [piece])
            connection.execute(
                sql.SQL("UPDATE {} SET embedded_at = %s WHERE chunk_id = %s").format(
                    generation.table
                ),
                (_ago(hours), piece.chunk_id),
            )


def _ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def test_a_document_is_found_when_its_last_chunk_has_its_vector(connection, generation):
    _store(connection, generation, "a.md", changed=6, read=5, vectors=[4, 2])
    day, week = latencies(connection)
    assert (day.source, day.window, day.documents) == ("notes", "24h", 1)
    assert day.seen_p50 == pytest.approx(3 * 3600)
    assert day.changed_p95 == pytest.approx(4 * 3600)
    assert replace(week, window="24h") == day


def test_percentiles_are_those_of_the_documents_of_a_window(connection, generation):
    for n in range(21):
        _store(connection, generation, f"{n}.md", changed=9, read=3 + n / 10, vectors=[3])
    _store(connection, generation, "old.md", changed=90, read=80, vectors=[30])
    day, week = latencies(connection)
    assert (day.documents, week.documents) == (21, 22)
    assert day.seen_p50 == pytest.approx(3600)
    assert day.seen_p95 == pytest.approx(1.9 * 3600)
    assert week.seen_p95 > day.seen_p95


def test_what_waits_is_not_measured_but_named(connection, generation):
    _store(connection, generation, "a.md", changed=3, read=2, vectors=[1, None])
    assert latencies(connection) == []
    connection.execute("UPDATE ingestion.ledger SET enqueued_at = now() - interval '1 hour'")
    (found,) = waiting(connection)
    assert found == replace(Waiting("notes", 1, 0, 0, 0, 0.0), oldest_seconds=found.oldest_seconds)
    assert found.oldest_seconds == pytest.approx(3600, abs=60)


def test_what_failed_waits_for_nobody(connection, generation):
    _, pieces = rows.store(connection, "a.md", ["one", "two"])
    failed = [
        Failed(c.chunk_id, c.content_hash, "PoisonTextError", "NaN", quarantined=n == 0)
        for n, c in enumerate(pieces)
    ]
    ledger.record(connection, generation, failed)
    assert waiting(connection) == [Waiting("notes", 0, 0, 1, 1, 0.0)]


def test_the_backlog_of_a_generation_is_no_change_of_a_source(connection, generation):
    _store(connection, generation, "a.md", changed=999, read=11 * 24, vectors=[1])
    assert latencies(connection) == []
    _store(connection, generation, "moved here.md", changed=999, read=2, vectors=[1])
    day, _ = latencies(connection)
    assert day.seen_p50 == pytest.approx(3600)
    assert day.changed_p50 is None


def test_a_document_that_needed_no_vector_is_not_measured(connection, generation):
    _store(connection, generation, "a.md", changed=2, read=1, vectors=[5])
    assert latencies(connection) == []


def test_only_so_many_documents_are_looked_at(connection, generation, monkeypatch):
    monkeypatch.setattr(freshness, "MOST", 2)
    for n in range(3):
        for key in ("notes/00", "wiki/00"):
            _store(connection, generation, f"{n}", changed=9, read=5, vectors=[3], key=key)
    assert {(f.source, f.documents) for f in latencies(connection)} == {("notes", 2), ("wiki", 2)}
    assert {f.source for f in latencies(connection, "wiki")} == {"wiki"}


def test_nothing_is_fresh_without_a_generation(connection):
    rows.store(connection, "a.md", ["one"])
    assert (latencies(connection), waiting(connection)) == ([], [])
