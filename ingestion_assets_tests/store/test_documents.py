"""Documents are inserted, replaced in place, and deleted with everything that hangs on them."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest

from ingestion_assets.changes import Changes
from ingestion_assets.documents.document import Known
from ingestion_assets.errors import StoreError
from ingestion_assets.sources.origin import ending
from ingestion_assets.store import chunks, documents, embeddings, sources
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets_tests.store import rows


def _ids(connection: Connection, table: str) -> set[UUID]:
    return {i for (i,) in connection.execute(f"SELECT document_id FROM ingestion.{table}")}


def test_what_is_written_is_known(connection):
    sources.register(connection, "notes", "files", 2, {})
    one, other = rows.document("a.md", "text"), rows.document("b.md", key="notes/01")
    documents.write(connection, Changes([one, other]))
    assert documents.known(connection, rows.KEY) == {
        "a.md": Known(
            document_id=one.document_id,
            bytes=one.bytes,
            modified_at=one.modified_at,
            ingested_at=one.ingested_at,
            content_hash=one.content_hash,
        )
    }
    assert documents.finish(connection, rows.KEY) == 1


def test_other_partitions_are_counted_by_the_ending_of_uris(connection):
    sources.register(connection, "notes", "files", 2, {})
    uris = ["a.md", "v1.2/b.tar.gz", "v1.2/README", ".env", "x/c.md", "d.", "e\n.md", "x.md"]
    documents.write(connection, Changes([rows.document(uri) for uri in uris]))
    expected = Counter(ending(uri) for uri in uris)
    assert documents.elsewhere(connection, "notes", "notes/01", []) == expected
    assert documents.elsewhere(connection, "notes", "notes/01", ["x/", "v1.2/"]) == Counter(
        {".md": 3, ".env": 1, ".": 1}
    )
    assert documents.elsewhere(connection, "notes", rows.KEY, []) == Counter()
    assert documents.elsewhere(connection, "other", "notes/01", []) == Counter()


def test_an_archive_counts_as_one_document_of_another_partition(connection):
    sources.register(connection, "notes", "files", 2, {})
    uris = ["a.zip!/x.md", "a.zip!/b.zip!/y.md", "c.ZIP!/z.md", "d.md"]
    documents.write(connection, Changes([rows.document(uri) for uri in uris]))
    found = documents.elsewhere(connection, "notes", "notes/01", [])
    assert found == Counter({".zip": 1, ".ZIP": 1, ".md": 1})
    assert documents.elsewhere(connection, "notes", "notes/01", ["a.zip!/"]).total() == 2


def test_a_changed_document_keeps_its_chunks_and_vectors(connection):
    generation = rows.generation(connection)
    document, pieces = rows.store(connection, "a.md", ["one", "two"])
    rows.embed(connection, generation, pieces)
    changed = replace(document, text="new", title="New", content_hash=b"h" * 16, metadata={})
    documents.write(connection, Changes([changed]))
    row = connection.execute("SELECT text, title, metadata FROM ingestion.documents").fetchone()
    assert row == ("new", "New", {})
    assert embeddings.coverage(connection, generation, rows.KEY) == embeddings.Coverage(2, 2)


def test_a_changed_document_is_due_for_chunking(connection):
    document, _ = rows.store(connection, "a.md", ["one"])
    assert list(chunks.unchunked(connection, rows.KEY, rows.CHUNKER, None)) == []
    documents.write(connection, Changes([replace(document, content_hash=b"h" * 16)]))
    (due,) = chunks.unchunked(connection, rows.KEY, rows.CHUNKER, None)
    assert due.content_hash == b"h" * 16


def test_a_document_that_is_gone_takes_its_chunks_and_vectors(connection):
    generations = [rows.generation(connection, model=model) for model in ("m", "n")]
    kept, kept_pieces = rows.store(connection, "a.md", ["one"])
    gone, gone_pieces = rows.store(connection, "b.md", ["two", "three"])
    for generation in generations:
        rows.embed(connection, generation, [*kept_pieces, *gone_pieces])
    documents.write(connection, Changes(gone=[gone.document_id]))
    assert _ids(connection, "documents") == _ids(connection, "chunks") == {kept.document_id}
    for generation in generations:
        assert set(rows.stored_vectors(connection, generation)) == {kept_pieces[0].chunk_id}


def test_a_batch_is_written_whole_or_not_at_all(database, connection):
    document, _ = rows.store(connection, "a.md", ["one"])
    broken = replace(rows.document("b.md"), text="nul \0 byte")
    with pytest.raises(StoreError), connect(database) as other:
        documents.write(other, Changes([rows.document("c.md"), broken], [document.document_id]))
    assert _ids(connection, "documents") == {document.document_id}


def test_an_empty_batch_changes_nothing(connection):
    documents.write(connection, Changes())
    assert documents.finish(connection, rows.KEY) == 0
