"""Indexes are built where they are missing, once; what an interrupted build leaves is replaced."""

import pytest
from psycopg import sql

from ingestion_assets.errors import StoreError
from ingestion_assets.store.connection import connect
from ingestion_assets.store.index import (
    build_text_index,
    build_vector_index,
    text_index,
    vector_index,
)
from ingestion_assets_tests.store import rows


@pytest.fixture
def connection(database):
    with connect(database) as connection:
        yield connection


def _definition(connection, name: str) -> str:
    query = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'ingestion' AND indexname = %s"
    row = connection.execute(query, (name,)).fetchone()
    return row[0] if row else ""


def test_an_index_is_built_once(connection):
    generation = rows.generation(connection)
    assert build_vector_index(connection, generation)
    assert not build_vector_index(connection, generation)
    assert build_text_index(connection, "german")
    assert not build_text_index(connection, "german")
    assert "gin (to_tsvector('german'" in _definition(connection, text_index("german"))


@pytest.mark.parametrize(("dimensions", "storage"), [(4, "vector"), (2001, "halfvec")])
def test_the_operator_class_fits_the_storage_and_serves_the_search(connection, dimensions, storage):
    generation = rows.generation(connection, dimensions)
    build_vector_index(connection, generation)
    name = vector_index(generation)
    assert f"hnsw (embedding {storage}_cosine_ops)" in _definition(connection, name)
    connection.execute("SET enable_seqscan = off")
    question = f"[{','.join('1' * dimensions)}]"
    plan = connection.execute(
        sql.SQL("EXPLAIN SELECT FROM {} ORDER BY embedding <=> {}::{} LIMIT 1").format(
            generation.table, sql.Literal(question), sql.Identifier(storage)
        )
    ).fetchall()
    assert name in str(plan)


def test_what_an_interrupted_build_leaves_is_replaced(connection):
    generation = rows.generation(connection)
    build_vector_index(connection, generation)
    name = vector_index(generation)
    connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)",
        (f"ingestion.{name}",),
    )
    assert build_vector_index(connection, generation)
    assert not build_vector_index(connection, generation)


def test_two_do_not_build_the_same_index(database, connection):
    generation = rows.generation(connection)
    key = f"ingestion:{vector_index(generation)}"
    with connect(database) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (key,))
        assert not build_vector_index(connection, generation)
        other.execute("SELECT pg_advisory_unlock_all()")
    assert build_vector_index(connection, generation)


def test_a_language_that_postgres_does_not_know_is_an_error(database):
    with pytest.raises(StoreError, match="klingon"), connect(database) as connection:
        build_text_index(connection, "klingon")


def test_memory_is_the_servers_again_afterwards(connection):
    before = connection.execute("SHOW maintenance_work_mem").fetchone()
    build_vector_index(connection, rows.generation(connection))
    assert connection.execute("SHOW maintenance_work_mem").fetchone() == before
