"""The status tells how much is embedded in what search reads, and what failed."""

from dataclasses import replace
from datetime import UTC, datetime

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.store import chunks, claims, ledger
from ingestion_assets.store.ledger import Failed
from ingestion_assets.store.status import (
    Counts,
    PartitionStatus,
    counts,
    failures,
    partitions,
    sources,
)
from ingestion_assets_tests.store import rows

READ = datetime(2026, 1, 3, tzinfo=UTC)  # when rows.document says it was read


def _bad(chunk: Chunk, *, quarantined: bool = True) -> Failed:
    return Failed(chunk.chunk_id, chunk.content_hash, "PoisonTextError", "NaN", quarantined)


def test_chunks_are_counted_without_a_generation(connection):
    rows.store(connection, "a.md", ["one", "two"])
    assert counts(connection, [rows.KEY]) == Counts(2, 0)


def test_only_vectors_of_present_texts_in_these_partitions_are_counted(connection):
    generation = rows.generation(connection)
    texts = ["one", "two", "three", "edited"]
    document, (one, two, _, edited) = rows.store(connection, "a.md", texts)
    _, other = rows.store(connection, "b.md", ["four"], key="notes/01")
    rows.store(connection, "c.md", ["five"], key="notes/02")
    rows.embed(connection, generation, [one, two, edited, *other])
    moved = replace(edited, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[moved], gone=[one]))
    assert counts(connection, [rows.KEY]) == Counts(3, 1)
    assert counts(connection, [rows.KEY, "notes/01"]) == Counts(4, 2)
    assert counts(connection, []) == Counts(0, 0)


def test_a_partition_is_made_up_of_what_is_embedded_pending_processing_and_failed(connection):
    generation = rows.generation(connection)
    document, pieces = rows.store(connection, "a.md", ["a", "b", "c", "d", "e", "f"])
    rows.store(connection, "b.md", ["g"])
    embedded, changed, gone, poison, failed, void = pieces
    rows.embed(connection, generation, [embedded, changed, gone])
    ledger.record(
        connection, generation, [_bad(poison), _bad(failed, quarantined=False), _bad(void)]
    )
    moved = [replace(chunk, content_hash=b"h" * 16) for chunk in (changed, void)]
    chunks.write(connection, rows.batch(document, moved=moved, gone=[gone]))
    assert partitions(connection) == [
        PartitionStatus("notes", rows.KEY, 2, 6, 1, 3, 0, 2, READ, None)
    ]
    assert len(claims.claim(connection, generation, "worker", limit=1)) == 1
    assert partitions(connection) == [
        PartitionStatus("notes", rows.KEY, 2, 6, 1, 2, 1, 2, READ, None)
    ]


def test_partitions_are_listed_by_source_and_key(connection):
    generation = rows.generation(connection)
    for key in ("wiki/00", "notes/01", "notes/00"):
        _, pieces = rows.store(connection, f"{key}.md", [key], key=key)
        rows.embed(connection, generation, pieces)
    assert [p.partition_key for p in partitions(connection)] == ["notes/00", "notes/01", "wiki/00"]
    assert partitions(connection, "wiki") == [
        PartitionStatus("wiki", "wiki/00", 1, 1, 1, 0, 0, 0, None, None)
    ]
    assert partitions(connection, "other") == []
    assert sources(connection) == ["notes", "wiki"]


def test_everything_is_pending_without_a_generation(connection):
    rows.store(connection, "a.md", ["one", "two"])
    rows.store(connection, "empty.md", [], key="notes/01")
    assert partitions(connection) == [
        PartitionStatus("notes", "notes/00", 1, 2, 0, 2, 0, 0, READ, None),
        PartitionStatus("notes", "notes/01", 1, 0, 0, 0, 0, 0, None, None),
    ]


def test_a_failure_says_where_what_and_how_often(connection):
    generation = rows.generation(connection)
    document, _ = rows.store(connection, "a.md", [])
    (chunk,) = rows.split(document, ["bad"], heading="A > B")
    chunks.write(connection, rows.batch(document, new=[chunk]))
    for _ in range(2):
        ledger.record(connection, generation, [_bad(chunk)])
    (failure,) = failures(connection)
    assert (failure.source, failure.uri, failure.heading) == ("notes", "a.md", "A > B")
    assert (failure.chunk_id, failure.generation_id) == (chunk.chunk_id, generation.generation_id)
    assert (failure.error_class, failure.error, failure.attempts) == ("PoisonTextError", "NaN", 2)
    assert failure.quarantined


def test_failures_are_those_of_present_texts_in_the_order_of_documents(connection):
    generation = rows.generation(connection)
    document, (void, gone) = rows.store(connection, "a.md", ["void", "gone"])
    _, second = rows.store(connection, "c.md", ["one", "two"])
    _, first = rows.store(connection, "b.md", ["three"])
    _, elsewhere = rows.store(connection, "d.md", ["four"], key="wiki/00")
    bad = [void, gone, *second, *first, *elsewhere]
    ledger.record(connection, generation, [_bad(chunk) for chunk in bad])
    moved = replace(void, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[moved], gone=[gone]))
    expected = [chunk.chunk_id for chunk in (*first, *second, *elsewhere)]
    assert [failure.chunk_id for failure in failures(connection)] == expected
    assert [failure.chunk_id for failure in failures(connection, "notes", 2)] == expected[:2]
    assert [failure.uri for failure in failures(connection, "wiki")] == ["d.md"]


def test_failures_in_a_generation_that_is_building_are_listed(connection):
    rows.generation(connection, model="m")
    building = rows.generation(connection, model="n")
    _, (chunk,) = rows.store(connection, "a.md", ["bad"])
    ledger.record(connection, building, [_bad(chunk)])
    assert [f.generation_id for f in failures(connection)] == [building.generation_id]
    assert partitions(connection)[0].failed == 0
