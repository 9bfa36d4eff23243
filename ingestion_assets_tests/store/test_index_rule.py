"""The index is built where the rule says so, and makes way for a load that would cost more."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from ingestion_assets.errors import IndexUnusedError, StoreError
from ingestion_assets.store import claims
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.damage.index import IndexCheck
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.index import (
    build_vector_index,
    check_used,
    index_state,
    rule,
    vector_index,
)
from ingestion_assets.store.index.rule import Move
from ingestion_assets_tests.store import rows

LEFT = "CREATE INDEX embeddings_1_hnsw_next ON ingestion.embeddings_1 (embedded_at)"


@pytest.fixture
def connection(database, monkeypatch):
    """A hundred vectors, where fifty make an index worth its while."""
    monkeypatch.setattr(rule, "INDEX_FROM", 50)
    with connect(database) as connection:
        yield connection


@pytest.fixture
def generation(connection):
    generation = rows.generation(connection)
    _load(connection, generation, "a.md", 100)
    return generation


def _load(connection: Connection, generation: Generation, uri: str, n: int) -> None:
    pieces = rows.store(connection, uri, [f"{uri} {i}" for i in range(n)])[1]
    rows.embed(connection, generation, pieces)
    _analyze(connection, generation)


def _analyze(connection: Connection, generation: Generation) -> None:
    connection.execute("SELECT pg_stat_force_next_flush()")
    connection.execute(sql.SQL("ANALYZE {}").format(generation.table))


def _forget_the_vacuum(connection: Connection) -> None:
    """What a day does: a build vacuums, and an index is not replaced within a day of that."""
    connection.execute(
        "SELECT pg_stat_reset_single_table_counters('ingestion.embeddings_1'::regclass)"
    )


def _ours(connection: Connection) -> list[TupleRow]:
    found = connection.execute(
        "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid"
        " WHERE relname LIKE '%hnsw%' ORDER BY relname"
    )
    return found.fetchall()


def test_it_is_built_from_a_number_of_vectors_on_and_then_kept(connection, generation, monkeypatch):
    assert rule.judge(connection, generation).move is Move.BUILD
    built = build_vector_index(connection, generation)
    assert built is not None
    assert (built.rows, built.effort.memory >= 64) == (100, True)
    assert rule.judge(connection, generation).move is Move.KEEP
    connection.execute("DROP INDEX ingestion.embeddings_1_hnsw")
    monkeypatch.setattr(rule, "INDEX_FROM", 100)
    assert "searched exactly" in rule.judge(connection, generation).why


def test_an_index_of_the_wrong_operator_class_is_found_and_replaced(connection, generation):
    connection.execute(
        "CREATE INDEX embeddings_1_hnsw ON ingestion.embeddings_1"
        " USING hnsw (embedding vector_l2_ops)"
    )
    assert index_state(connection, generation).state == "wrong"
    with pytest.raises(IndexUnusedError, match="would not search it"):
        check_used(connection, generation)
    verdict = rule.judge(connection, generation)
    assert (verdict.move, "operator class" in verdict.why) == (Move.BUILD, True)
    doctor = IndexCheck([generation], exact_limit=1000)
    assert [finding.kind.name for finding in doctor.find(connection)] == ["indexes_invalid"]
    doctor.mend(connection)
    assert index_state(connection, generation).state == "valid"
    check_used(connection, generation)
    assert doctor.find(connection) == []


def test_a_worn_index_is_followed_by_a_new_one_without_a_moment_between(
    database, connection, generation
):
    build_vector_index(connection, generation)
    _forget_the_vacuum(connection)
    rows.embed(connection, generation, rows.store(connection, "a.md", ["a.md 1", "a.md 2"])[1])
    _analyze(connection, generation)
    verdict = rule.judge(connection, generation)
    assert (verdict.move, "2 of 100" in verdict.why) == (Move.REPLACE, True)
    before = connection.execute("SELECT 'ingestion.embeddings_1_hnsw'::regclass::oid").fetchone()
    seen, done = [], threading.Event()

    def watch():
        with connect(database) as other:
            while not done.is_set():
                seen.append(index_state(other, generation).state)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert build_vector_index(connection, generation, afresh=True)
    done.set()
    watcher.join()
    after = connection.execute("SELECT 'ingestion.embeddings_1_hnsw'::regclass::oid").fetchone()
    assert before != after
    assert set(seen) == {"valid"}
    assert _ours(connection) == [("embeddings_1_hnsw", True)]
    # Its dead rows are gone, so that it is not worn again at once.
    assert rule.judge(connection, generation).move is Move.KEEP


def test_what_an_interrupted_replacement_leaves_beside_it_is_dropped(connection, generation):
    build_vector_index(connection, generation)
    connection.execute(LEFT)
    assert rule.judge(connection, generation).move is Move.BUILD
    assert build_vector_index(connection, generation) is None
    assert _ours(connection) == [("embeddings_1_hnsw", True)]
    assert rule.judge(connection, generation).move is Move.KEEP


def test_a_build_that_is_killed_leaves_what_the_next_one_replaces(database, connection, generation):
    with ThreadPoolExecutor() as pool, connect(database) as writer, writer.transaction():
        # It has to wait for who writes, which is long enough to be killed.
        writer.execute("LOCK TABLE ingestion.embeddings_1 IN ROW EXCLUSIVE MODE")
        killed = []

        def build():
            with connect(database) as other:
                killed.append(other.info.backend_pid)
                build_vector_index(other, generation)

        builder = pool.submit(build)
        rows.wait_until_blocked(database)
        connection.execute("SELECT pg_terminate_backend(%s)", killed)
        assert isinstance(builder.exception(), StoreError)
    assert index_state(connection, generation).state == "invalid"
    assert rule.judge(connection, generation).move is Move.BUILD
    assert build_vector_index(connection, generation)
    assert _ours(connection) == [("embeddings_1_hnsw", True)]


def test_it_makes_way_for_a_large_load_and_comes_back_when_that_is_over(connection, generation):
    build_vector_index(connection, generation)
    pieces = rows.store(connection, "b.md", [f"later {i}" for i in range(20)])[1]
    assert rule.make_way(connection, generation) == 0
    assert index_state(connection, generation).state == "valid"
    pieces += rows.store(connection, "c.md", ["one more"])[1]
    assert rule.make_way(connection, generation) == 21
    assert index_state(connection, generation).state == "none"
    with connection.transaction(force_rollback=True):
        claims.claim(connection, generation, "somebody", limit=50)
        verdict = rule.judge(connection, generation)
        assert (verdict.move, "end of a load" in verdict.why) == (Move.KEEP, True)
    rows.embed(connection, generation, pieces)
    assert rule.judge(connection, generation).move is Move.BUILD


def test_a_very_large_one_stays_since_a_search_without_it_would_take_long(
    connection, generation, monkeypatch
):
    monkeypatch.setattr(rule, "BEARABLE", 99)
    build_vector_index(connection, generation)
    rows.store(connection, "b.md", [f"later {i}" for i in range(50)])
    assert rule.make_way(connection, generation) == 0
    assert index_state(connection, generation).state == "valid"


def test_more_dimensions_than_an_index_takes_have_none(connection):
    generation = rows.generation(connection, 4001)
    assert "4,001 dimensions" in rule.judge(connection, generation).why


def test_memory_and_workers_are_the_servers_again_afterwards(connection, generation):
    shown = "SELECT current_setting('maintenance_work_mem'),"
    shown += " current_setting('max_parallel_maintenance_workers')"
    before = connection.execute(shown).fetchone()
    build_vector_index(connection, generation)
    assert connection.execute(shown).fetchone() == before
    assert vector_index(generation) == "embeddings_1_hnsw"
