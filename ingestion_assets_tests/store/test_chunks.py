"""Chunks follow their documents: new, moved, gone, and back again."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.reconcile import Chunked, StoredChunk, StoredDocument
from ingestion_assets.errors import StoreError
from ingestion_assets.store import chunks, embeddings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets_tests.store import rows


def _as_stored(chunk: Chunk) -> StoredChunk:
    return StoredChunk(
        chunk.chunk_id, chunk.ordinal, chunk.heading, chunk.content_hash, chunk.start, chunk.end
    )


def _due(connection: Connection, chunker: str = rows.CHUNKER) -> list[UUID]:
    return [d.document_id for d in chunks.unchunked(connection, rows.KEY, chunker, None)]


def _column(connection: Connection, column: str) -> list[Any]:
    found = connection.execute(f"SELECT {column} FROM ingestion.chunks ORDER BY ordinal")
    return [value for (value,) in found]


def test_new_chunks_are_stored_as_they_are(connection):
    document, pieces = rows.store(connection, "a.md", ["one", "zwei ü 🎉"])
    stored = chunks.stored(connection, [document.document_id])
    assert stored == {document.document_id: [_as_stored(chunk) for chunk in pieces]}
    assert _column(connection, "text") == ["one", "zwei ü 🎉"]
    assert _column(connection, "tokens") == [1, 3]
    assert _column(connection, "chunker") == [rows.CHUNKER] * 2
    assert chunks.finish(connection, rows.KEY) == 2


def test_moved_chunks_keep_their_row(connection):
    document, pieces = rows.store(connection, "a.md", ["one", "two"])
    moved = replace(pieces[1], ordinal=5, heading="H", content_hash=b"h" * 16, start=50, end=53)
    chunks.write(connection, rows.batch(document, moved=[moved]))
    stored = chunks.stored(connection, [document.document_id])[document.document_id]
    assert sorted(stored, key=lambda c: c.ordinal) == [_as_stored(pieces[0]), _as_stored(moved)]
    assert _column(connection, "text") == ["one", "two"]


def test_gone_chunks_are_no_longer_counted_but_stay(connection):
    document, pieces = rows.store(connection, "a.md", ["one", "two"])
    chunks.write(connection, rows.batch(document, gone=pieces[:1]))
    stored = chunks.stored(connection, [document.document_id])
    assert stored == {document.document_id: [_as_stored(pieces[1])]}
    assert chunks.finish(connection, rows.KEY) == 1
    assert _column(connection, "superseded") == [True, False]


def test_a_reverted_edit_revives_the_chunk_and_its_vector(connection):
    generation = rows.generation(connection)
    document, (old,) = rows.store(connection, "a.md", ["old"])
    rows.embed(connection, generation, [old])
    (new,) = rows.split(document, ["new"])
    chunks.write(connection, rows.batch(document, new=[new], gone=[old]))
    chunks.write(connection, rows.batch(document, new=[replace(old, ordinal=3)], gone=[new]))
    stored = chunks.stored(connection, [document.document_id])
    assert stored == {document.document_id: [_as_stored(replace(old, ordinal=3))]}
    assert rows.missing(connection, generation) == []
    assert embeddings.finish(connection, generation, rows.KEY) == embeddings.Coverage(1, 1)
    assert _column(connection, "text") == ["old"]


def test_a_document_is_due_until_its_chunks_are_written(connection):
    document, pieces = rows.store(connection, "a.md", ["one", "two"])
    assert _due(connection) == []
    assert _due(connection, "other chunker") == [document.document_id]
    connection.execute("UPDATE ingestion.documents SET chunked_as = NULL")
    chunks.write(connection, rows.batch(moved=pieces))
    assert _due(connection) == [document.document_id]
    chunks.write(connection, rows.batch(document))
    assert _due(connection) == []


def test_a_document_that_is_due_comes_with_its_text(connection, monkeypatch):
    monkeypatch.setattr(chunks, "_PAGE", 2)
    owners = [rows.store(connection, f"{n}.md", [f"text {n}"])[0] for n in range(5)]
    due = list(chunks.unchunked(connection, rows.KEY, "other", "prefix: "))
    assert sorted(due, key=lambda d: d.text) == [
        StoredDocument(
            d.document_id, rows.KEY, d.media_type, d.title, d.text, d.content_hash, "prefix: "
        )
        for d in owners
    ]


def test_chunked_as_is_only_set_together_with_the_chunks(database, connection):
    document, pieces = rows.store(connection, "a.md", ["one"])
    connection.execute("UPDATE ingestion.documents SET chunked_as = NULL")
    broken = rows.split(document, ["two", "nul \0 byte"])
    with pytest.raises(StoreError), connect(database) as other:
        chunks.write(other, rows.batch(document, new=broken, gone=pieces))
    assert _due(connection) == [document.document_id]
    assert _column(connection, "text") == ["one"]
    assert _column(connection, "superseded") == [False]


def test_chunks_of_a_document_that_is_gone_are_refused(database, connection):
    rows.store(connection, "a.md", ["one"])
    absent = rows.document("never-stored.md")
    with pytest.raises(StoreError) as caught, connect(database) as other:
        chunks.write(other, rows.batch(absent, new=rows.split(absent, ["two"])))
    assert caught.value.retryable


def test_a_chunk_that_is_deleted_while_it_is_revived_is_stored_anew(database, connection):
    document, (old,) = rows.store(connection, "a.md", ["old"])
    chunks.write(connection, rows.batch(document, gone=[old]))
    with ThreadPoolExecutor(1) as pool, connect(database) as other:
        with connection.transaction():
            connection.execute("DELETE FROM ingestion.chunks WHERE superseded")
            writing = pool.submit(chunks.write, other, rows.batch(document, new=[old]))
            rows.wait_until_blocked(database)
        writing.result()
    stored = chunks.stored(connection, [document.document_id])
    assert stored == {document.document_id: [_as_stored(old)]}


def test_an_empty_batch_changes_nothing(connection):
    rows.store(connection, "a.md", ["one"])
    chunks.write(connection, Chunked(rows.KEY, rows.CHUNKER))
    assert _column(connection, "superseded") == [False]
