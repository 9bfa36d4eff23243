"""Every present text gets one vector, its own, and old vectors stay until theirs are replaced."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from psycopg import sql

from ingestion_assets.changes import Changes, Vectors
from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.documents.document import Document
from ingestion_assets.errors import DimensionError, StoreError
from ingestion_assets.store import chunks, documents, embeddings, ledger
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.embeddings import Coverage
from ingestion_assets.store.generations import Generation
from ingestion_assets_tests.store import rows

WRITE_SLOWLY = """
import sys
from ingestion_assets.store import claims
from ingestion_assets.store.connection import connect, partition_lock
from ingestion_assets.store.writers import EmbeddingsWriter
from ingestion_assets_tests.store import rows

with connect(sys.argv[1]) as connection, partition_lock(connection, rows.KEY):
    generation = rows.generation(connection)
    writer = EmbeddingsWriter(connection, rows.KEY, generation)
    writer.begin()
    for page in claims.pages(lambda: connect(sys.argv[1]), generation, rows.KEY):
        for start in range(0, len(page), 100):
            writer.write(rows.vectors(page[start : start + 100]))
            print("committed", flush=True)
"""


def _texts(n: int) -> list[str]:
    return [f"text {i}" for i in range(n)]


def _edit(
    connection: Connection, document: Document, old: list[Chunk], texts: list[str]
) -> list[Chunk]:
    """Replace the chunks of a document by those of other texts; the new chunks."""
    pieces = rows.split(document, texts)
    kept = {chunk.chunk_id for chunk in pieces} & {chunk.chunk_id for chunk in old}
    new = [chunk for chunk in pieces if chunk.chunk_id not in kept]
    gone = [chunk for chunk in old if chunk.chunk_id not in kept]
    chunks.write(connection, rows.batch(document, new=new, gone=gone))
    return pieces


@pytest.mark.parametrize(
    ("uri", "key"),
    [("a.md", rows.KEY), ("b.md", rows.KEY), ("b.md", "notes/01"), ("b.md", "other/00")],
)
def test_an_identical_text_gets_a_copy_of_the_vector(connection, uri, key):
    generation = rows.generation(connection)
    document, pieces = rows.store(connection, "a.md", ["same", "one"])
    rows.embed(connection, generation, pieces)
    if uri == "a.md":
        twins = rows.split(document, ["same", "one", "same"])
        chunks.write(connection, rows.batch(document, new=twins[2:]))
    else:
        _, twins = rows.store(connection, uri, ["new", "same"], key=key)
    twin = twins[-1]
    assert twin.content_hash == pieces[0].content_hash
    assert twin.chunk_id not in [t.chunk_id for t in rows.missing(connection, generation, key)]
    assert embeddings.reuse(connection, generation, key) == 1
    stored = rows.stored_vectors(connection, generation)
    assert stored[twin.chunk_id] == stored[pieces[0].chunk_id]
    assert embeddings.reuse(connection, generation, key) == 0


def test_a_moved_chunk_gets_a_copy_in_the_place_of_its_old_vector(connection):
    generation = rows.generation(connection)
    document, (one, two) = rows.store(connection, "a.md", ["one", "two"])
    rows.embed(connection, generation, [one, two])
    moved = replace(two, content_hash=one.content_hash)
    chunks.write(connection, rows.batch(document, moved=[moved]))
    assert embeddings.coverage(connection, generation, rows.KEY) == Coverage(2, 1)
    assert embeddings.reuse(connection, generation, rows.KEY) == 1
    assert embeddings.coverage(connection, generation, rows.KEY) == Coverage(2, 2)
    assert rows.every_vector_belongs_to_its_text(connection, generation)


def test_vectors_are_never_copied_between_generations(connection):
    first = rows.generation(connection, model="m")
    _, pieces = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, first, pieces)
    second = rows.generation(connection, model="n")
    assert embeddings.reuse(connection, second, rows.KEY) == 0
    assert len(rows.missing(connection, second)) == 1


def test_every_chunk_gets_its_own_vector(connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(50))
    shuffled = [pieces[i] for i in np.random.default_rng(0).permutation(50)]
    assert rows.embed(connection, generation, shuffled) == 50
    assert embeddings.coverage(connection, generation, rows.KEY) == Coverage(50, 50)
    assert set(rows.stored_vectors(connection, generation)) == {c.chunk_id for c in pieces}
    assert rows.every_vector_belongs_to_its_text(connection, generation)


def test_a_vector_is_replaced_and_never_doubled(connection):
    generation = rows.generation(connection)
    _, (one, two) = rows.store(connection, "a.md", ["one", "two"])
    wrong = Vectors([one.chunk_id], [one.content_hash], np.array([[1, 0, 0, 0]], np.float32))
    embeddings.write(connection, generation, wrong)
    assert not rows.every_vector_belongs_to_its_text(connection, generation)
    assert rows.embed(connection, generation, [two, one]) == 2
    assert len(rows.stored_vectors(connection, generation)) == 2
    assert rows.every_vector_belongs_to_its_text(connection, generation)


def test_vectors_of_changed_and_deleted_chunks_are_left_out(connection):
    generation = rows.generation(connection)
    document, pieces = rows.store(connection, "a.md", _texts(6))
    deleted, other = rows.store(connection, "b.md", ["gone"])
    late = rows.vectors([pieces[0], other[0], *pieces[1:]])
    changed = replace(pieces[2], content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    documents.write(connection, Changes(gone=[deleted.document_id]))
    assert embeddings.write(connection, generation, late) == 5
    assert set(rows.stored_vectors(connection, generation)) == {
        chunk.chunk_id for chunk in pieces if chunk != pieces[2]
    }
    assert rows.every_vector_belongs_to_its_text(connection, generation)
    assert [t.content_hash for t in rows.missing(connection, generation)] == [b"h" * 16]


def test_the_old_vector_of_a_changed_chunk_stays_until_it_is_replaced(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, generation, [chunk])
    changed = replace(chunk, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    assert rows.embed(connection, generation, [chunk]) == 0
    assert rows.stored_vectors(connection, generation)[chunk.chunk_id][0] == chunk.content_hash
    assert rows.embed(connection, generation, [changed]) == 1
    assert rows.stored_vectors(connection, generation)[chunk.chunk_id][0] == b"h" * 16


def test_a_batch_of_another_width_stores_nothing(connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, generation, pieces)
    with pytest.raises(DimensionError):
        embeddings.write(connection, generation, rows.vectors(pieces, dimensions=3))
    assert rows.every_vector_belongs_to_its_text(connection, generation)
    assert len(rows.stored_vectors(connection, generation)) == 1


def test_a_batch_with_a_broken_vector_stores_nothing(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", ["one", "two"])
    broken = rows.vectors(pieces)
    broken.matrix[1, 2] = np.nan
    with pytest.raises(StoreError, match="NaN") as caught, connect(database) as other:
        embeddings.write(other, generation, broken)
    assert not caught.value.retryable
    assert rows.stored_vectors(connection, generation) == {}


def test_an_empty_batch_stores_nothing(connection):
    generation = rows.generation(connection)
    assert rows.embed(connection, generation, []) == 0


def test_vectors_of_more_than_2000_dimensions_are_stored_as_halfvec(connection):
    generation = rows.generation(connection, dimensions=2001)
    _, pieces = rows.store(connection, "a.md", ["one", "two"])
    assert generation.storage == "halfvec"
    assert rows.embed(connection, generation, pieces) == 2
    assert rows.every_vector_belongs_to_its_text(connection, generation)


def test_a_vector_waits_for_the_deletion_of_its_chunk(database, connection):
    generation = rows.generation(connection)
    _, kept = rows.store(connection, "a.md", ["one"])
    document, gone = rows.store(connection, "b.md", ["two"])
    with ThreadPoolExecutor(1) as pool, connect(database) as other:
        with connection.transaction():
            documents.write(connection, Changes(gone=[document.document_id]))
            writing = pool.submit(rows.embed, other, generation, [*gone, *kept])
            rows.wait_until_blocked(database)
        assert writing.result() == 1
    assert set(rows.stored_vectors(connection, generation)) == {kept[0].chunk_id}


def test_the_deletion_of_a_chunk_waits_for_its_vector(database, connection):
    generation = rows.generation(connection)
    document, pieces = rows.store(connection, "a.md", ["one"])
    with ThreadPoolExecutor(1) as pool, connect(database) as other:
        with connection.transaction():
            rows.embed(connection, generation, pieces)
            gone: Changes[Document] = Changes(gone=[document.document_id])
            deleting = pool.submit(documents.write, other, gone)
            rows.wait_until_blocked(database)
        deleting.result()
    assert rows.stored_vectors(connection, generation) == {}


def test_a_superseded_chunk_stays_until_its_document_is_embedded(connection):
    generation = rows.generation(connection)
    document, old = rows.store(connection, "a.md", ["one", "two", "three"])
    rows.embed(connection, generation, old)
    new = _edit(connection, document, old, ["one", "TWO", "THREE"])
    for pending in (new[1:], new[2:]):
        assert len(rows.missing(connection, generation)) == len(pending)
        embeddings.finish(connection, generation, rows.KEY)
        assert {chunk.chunk_id for chunk in old} <= set(rows.stored_vectors(connection, generation))
        rows.embed(connection, generation, pending[:1])
    assert embeddings.finish(connection, generation, rows.KEY) == Coverage(3, 3)
    assert set(rows.stored_vectors(connection, generation)) == {chunk.chunk_id for chunk in new}


def test_a_document_does_not_wait_for_another_one(connection):
    generation = rows.generation(connection)
    document, old = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, generation, old)
    rows.store(connection, "b.md", ["not embedded"])
    new = _edit(connection, document, old, ["ONE"])
    rows.embed(connection, generation, new)
    assert embeddings.finish(connection, generation, rows.KEY) == Coverage(2, 1)
    assert set(rows.stored_vectors(connection, generation)) == {new[0].chunk_id}


def test_a_document_without_chunks_loses_its_old_vectors(connection):
    generation = rows.generation(connection)
    document, old = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, generation, old)
    _edit(connection, document, old, [])
    assert embeddings.finish(connection, generation, rows.KEY) == Coverage(0, 0)
    assert rows.stored_vectors(connection, generation) == {}


def test_a_superseded_chunk_stays_while_search_reads_another_generation(connection):
    searched = rows.generation(connection, model="m")
    document, old = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, searched, old)
    building = rows.generation(connection, model="n")
    new = _edit(connection, document, old, ["ONE"])
    rows.embed(connection, building, new)
    embeddings.finish(connection, building, rows.KEY)
    assert set(rows.stored_vectors(connection, searched)) == {old[0].chunk_id}


def test_a_superseded_chunk_is_not_embedded(connection):
    generation = rows.generation(connection)
    document, old = rows.store(connection, "a.md", ["one"])
    _edit(connection, document, old, [])
    assert rows.missing(connection, generation) == []
    assert embeddings.reuse(connection, generation, rows.KEY) == 0


def test_what_a_killed_writer_committed_stays_and_a_second_run_completes_it(database, connection):
    generation = rows.generation(connection)
    for n in range(10):
        rows.store(connection, f"{n}.md", [f"{n}: {text}" for text in _texts(200)])
    command = [sys.executable, "-c", WRITE_SLOWLY, database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(4):
            assert writer.stdout.readline() == "committed\n"
        os.kill(writer.pid, signal.SIGKILL)
    survived = rows.stored_vectors(connection, generation)
    assert 400 <= len(survived) < 2000
    resumed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert resumed.stdout.count("committed") == -(-(2000 - len(survived)) // 100)
    assert embeddings.coverage(connection, generation, rows.KEY) == Coverage(2000, 2000)
    stored = rows.stored_vectors(connection, generation)
    assert survived.items() <= stored.items()
    assert rows.every_vector_belongs_to_its_text(connection, generation)
    assert _row_versions(connection, generation) == 2000


def _row_versions(connection: Connection, generation: Generation) -> int:
    """Rows ever inserted, as Postgres counts them: more than the rows if some were redone."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    query = sql.SQL("SELECT n_tup_ins FROM pg_stat_all_tables WHERE relname = {}")
    row = connection.execute(query.format(sql.Literal(generation.name))).fetchone()
    assert row is not None
    return int(row[0])


def test_outdated_vectors_are_found_and_made_again(connection: Connection) -> None:
    generation = rows.generation(connection)
    _, chunks = rows.store(connection, "a.md", ["one", "two", "one"])
    rows.embed(connection, generation, chunks)
    embeddings.outdate(connection, generation, rows.KEY)
    assert len(rows.stored_vectors(connection, generation)) == 3
    assert embeddings.coverage(connection, generation, rows.KEY).missing == 3
    ledger.enqueue_missing(connection, generation, rows.KEY)
    assert {text.text for text in rows.missing(connection, generation)} == {"one", "two"}
    rows.embed(connection, generation, chunks)
    assert embeddings.coverage(connection, generation, rows.KEY).missing == 0
