"""Search is exact: the same chunks, in the same order, as comparing with every vector."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from psycopg import sql

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.errors import StoreError
from ingestion_assets.retrieval.search import nearest
from ingestion_assets.store import chunks
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation
from ingestion_assets_tests.store import rows


@pytest.fixture
def connection(database):
    with connect(database) as connection:
        yield connection


def _fill(
    connection: Connection, dimensions: int, n: int
) -> tuple[Generation, list[Chunk], NDArray[np.float32]]:
    """Chunks of two sources with their vectors; a generation, the chunks, their matrix."""
    generation = rows.generation(connection, dimensions)
    pieces: list[Chunk] = []
    for number, key in enumerate(["notes/00", "notes/01", "papers/00"]):
        texts = [f"{number}: text {i}" for i in range(n)]
        pieces += rows.store(connection, f"{number}.md", texts, key=key)[1]
    rows.embed(connection, generation, pieces)
    return generation, pieces, rows.vectors(pieces, dimensions).matrix


def _by_hand(
    pieces: list[Chunk], matrix: NDArray[Any], question: NDArray[Any], k: int
) -> tuple[list[UUID], list[float]]:
    """Ids and scores of the k nearest, in double precision."""
    wide = matrix.astype(np.float64)
    scores = wide @ question / np.linalg.norm(wide, axis=1) / np.linalg.norm(question)
    order = sorted(range(len(pieces)), key=lambda i: (-scores[i], pieces[i].chunk_id))[:k]
    return [pieces[i].chunk_id for i in order], [scores[i] for i in order]


@pytest.mark.parametrize("dimensions", [4, 384])
def test_the_nearest_are_those_that_numpy_finds(connection, dimensions):
    generation, pieces, matrix = _fill(connection, dimensions, 100)
    for seed in range(5):
        question = rows.vector(bytes([seed]), dimensions)
        hits = nearest(connection, generation, question, k=10)
        ids, scores = _by_hand(pieces, matrix, question, 10)
        assert [hit.chunk_id for hit in hits] == ids
        np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-6)


def test_half_precision_is_searched_as_it_is_stored(connection):
    generation, pieces, matrix = _fill(connection, 2001, 20)
    question = rows.vector(b"?", 2001)
    hits = nearest(connection, generation, question, k=60)
    half = matrix.astype(np.float16), question.astype(np.float16).astype(np.float64)
    ids, scores = _by_hand(pieces, *half, 60)
    assert [hit.chunk_id for hit in hits] == ids
    np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-5)


def test_a_hit_says_where_it_is_from(connection):
    generation = rows.generation(connection)
    document, _ = rows.store(connection, "a.md", [])
    (chunk,) = rows.split(document, ["body"], heading="A > B")
    chunks.write(connection, rows.batch(document, new=[chunk]))
    rows.embed(connection, generation, [chunk])
    (hit,) = nearest(connection, generation, rows.vector(chunk.content_hash), k=3)
    assert hit.score == pytest.approx(1)
    assert (hit.chunk_id, hit.source, hit.uri) == (chunk.chunk_id, "notes", "a.md")
    assert (hit.title, hit.heading, hit.text) == ("A.Md", "A > B", "body")
    assert (hit.start_offset, hit.end_offset) == (0, 4)


def test_a_source_is_searched_alone_and_completely(connection):
    generation, pieces, matrix = _fill(connection, 4, 50)
    question = rows.vector(b"?")
    hits = nearest(connection, generation, question, k=1000, source="papers")
    assert [hit.chunk_id for hit in hits] == _by_hand(pieces[100:], matrix[100:], question, 50)[0]
    assert {hit.source for hit in hits} == {"papers"}
    assert nearest(connection, generation, question, k=5, source="nobody") == []


def test_never_fewer_come_back_than_exist(connection):
    generation, pieces, _ = _fill(connection, 4, 20)
    for k in (1, 59, 60, 61):
        assert len(nearest(connection, generation, rows.vector(b"?"), k=k)) == min(k, len(pieces))


def test_an_approximate_index_does_not_make_it_inexact(connection):
    generation, pieces, matrix = _fill(connection, 4, 700)
    connection.execute(
        sql.SQL("CREATE INDEX ON {} USING hnsw (embedding vector_cosine_ops) WITH (m = 2)").format(
            generation.table
        )
    )
    connection.execute(sql.SQL("ANALYZE {}").format(generation.table))
    connection.execute("SET hnsw.ef_search = 1")
    connection.execute("SET enable_seqscan = off")
    question = rows.vector(b"?")
    for source, mine in ((None, slice(None)), ("papers", slice(1400, None))):
        hits = nearest(connection, generation, question, k=300, source=source)
        ids, _ = _by_hand(pieces[mine], matrix[mine], question, 300)
        assert [hit.chunk_id for hit in hits] == ids


def test_ties_come_in_the_order_of_their_ids(connection):
    generation = rows.generation(connection)
    pieces = []
    for n in range(20):
        pieces += rows.store(connection, f"{n}.md", ["same", f"other {n}"])[1]
    rows.embed(connection, generation, pieces)
    same = sorted(chunk.chunk_id for chunk in pieces if chunk.text == "same")
    question = rows.vector(pieces[0].content_hash)
    for k in (7, 20):
        hits = nearest(connection, generation, question, k=k)
        assert [hit.chunk_id for hit in hits] == same[:k]


def test_an_old_vector_is_found_until_its_replacement_is_there(connection):
    generation = rows.generation(connection)
    document, old = rows.store(connection, "a.md", ["old"])
    rows.embed(connection, generation, old)
    new = rows.split(document, ["new"])
    chunks.write(connection, rows.batch(document, new=new, gone=old))
    (hit,) = nearest(connection, generation, rows.vector(b"?"), k=5)
    assert hit.text == "old"


def test_a_question_of_another_width_is_an_error(database, connection):
    generation, _, _ = _fill(connection, 4, 1)
    with pytest.raises(StoreError, match="dimensions"), connect(database) as other:
        nearest(other, generation, rows.vector(b"?", 3), k=1)
