"""Recall is counted against the exact search, and decides how hard the index is searched."""

import numpy as np
import pytest
from psycopg import sql

from ingestion_assets.changes import Vectors
from ingestion_assets.errors import StoreError
from ingestion_assets.retrieval import corpus
from ingestion_assets.retrieval.recall import Recall, measure, tune
from ingestion_assets.retrieval.request import Filters
from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.index import build_vector_index
from ingestion_assets.store.pool import borrowed, open_pool
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.store import rows


@pytest.fixture(scope="module")
def indexed(postgres, template):
    """1,500 vectors of 64 dimensions with an index that misses many."""
    with fresh_database(postgres, template) as database, connect(database) as connection:
        generation = rows.generation(connection, 64)
        _, pieces = rows.store(connection, "a.md", [f"text {i}" for i in range(1000)])
        pieces += rows.store(connection, "b.md", [f"{i}" for i in range(500)], "other/00")[1]
        matrix = np.random.default_rng(0).standard_normal((len(pieces), 64)).astype(np.float32)
        ids = [piece.chunk_id for piece in pieces], [piece.content_hash for piece in pieces]
        embeddings.write(connection, generation, Vectors(*ids, matrix))
        connection.execute(
            sql.SQL(
                "CREATE INDEX embeddings_1_hnsw ON {}"
                " USING hnsw (embedding vector_cosine_ops) WITH (m = 2, ef_construction = 8)"
            ).format(generation.table)
        )
        yield database


async def test_more_is_found_the_harder_the_index_is_searched(indexed):
    async with open_pool(indexed) as pool:
        low, high = await measure(pool, [1, 200], sample=20)
    assert (low.expected, high.expected, low.short) == (200, 200, 0)
    assert low.value < high.value <= 1
    assert high.at_least < high.value


async def test_a_filtered_search_is_measured_among_what_fits(indexed):
    async with open_pool(indexed) as pool:
        [recall] = await measure(pool, [1000], sample=10, among=Filters(source="other"))
    assert (recall.expected, recall.short) == (100, 0)
    assert 0.5 < recall.value < 1


async def test_what_was_measured_is_what_searches_use(indexed):
    async with open_pool(indexed) as pool:
        recall = await tune(pool, target=0.5, sample=20)
        async with borrowed(pool) as connection:
            assert (await corpus.read(connection, "simple")).ef_search == recall.ef_search
    assert recall.at_least >= 0.5


async def test_a_comment_of_somebody_elses_is_no_measurement(database):
    with connect(database) as connection:
        build_vector_index(connection, rows.generation(connection))
        connection.execute("COMMENT ON INDEX ingestion.embeddings_1_hnsw IS 'keep'")
    async with open_pool(database) as pool, borrowed(pool) as connection:
        assert (await corpus.read(connection, "simple")).ef_search == corpus.DEFAULT_EF


async def test_without_an_index_there_is_nothing_to_measure(database):
    async with open_pool(database) as pool:
        with pytest.raises(StoreError, match="no approximate index"):
            await measure(pool)
        with connect(database) as connection:
            build_vector_index(connection, rows.generation(connection))
        [empty] = await measure(pool, [40])
    assert (empty.value, empty.at_least) == (1, 1)


def test_the_interval_is_wilsons():
    assert Recall(40, 10, 100, 95, 0).at_least == pytest.approx(0.8882, abs=1e-4)
    assert Recall(40, 10, 1000, 1000, 0).at_least == pytest.approx(0.99617, abs=1e-5)
