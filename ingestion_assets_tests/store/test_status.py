"""Counts tell how much of some partitions is embedded in what search reads."""

from dataclasses import replace

from ingestion_assets.store import chunks
from ingestion_assets.store.status import Counts, counts
from ingestion_assets_tests.store import rows


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
