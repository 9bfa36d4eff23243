"""Every kind of damage in the tables is made by hand, found, and mended."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from psycopg import sql

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.doctor import examination
from ingestion_assets.store import audit, claims, embeddings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.damage import index, schema
from ingestion_assets.store.damage.finding import Finding, Scope
from ingestion_assets.store.generations import Generation
from ingestion_assets_tests.store import rows

Break = Callable[[Connection, Generation, Sequence[Chunk]], object]

EVERYTHING = Scope()


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def stored(connection: Connection) -> tuple[Generation, list[Chunk]]:
    """Three chunks of one document, with their vectors."""
    generation = rows.generation(connection)
    _, chunks = rows.store(connection, "a.md", ["one", "two words", "three"])
    rows.embed(connection, generation, chunks)
    return generation, chunks


def _examine(connection: Connection, scope: Scope = EVERYTHING) -> dict[str, Finding]:
    with audit.snapshot(connection):
        return {found.kind.name: found for found in examination.examine(connection, scope)}


def _statement(statement: str) -> Break:
    """Damage by SQL, which foreign keys and triggers do not prevent."""

    def break_(connection: Connection, generation: Generation, chunks: Sequence[Chunk]) -> None:
        given = {"id": chunks[0].chunk_id, "generation": generation.generation_id}
        connection.execute("SET session_replication_role = replica")
        composed = sql.SQL(statement).format(table=generation.table)
        connection.execute(composed, given)
        connection.execute("RESET session_replication_role")

    return break_


def _wrong_dimension(
    connection: Connection, generation: Generation, chunks: Sequence[Chunk]
) -> None:
    loosen = sql.SQL("ALTER TABLE {} ALTER embedding TYPE vector").format(generation.table)
    connection.execute("DROP VIEW ingestion.chunk_status, ingestion.embeddings")
    connection.execute(loosen)
    connection.execute("SELECT ingestion.show_generation(%s)", (generation.generation_id,))
    change = sql.SQL("UPDATE {} SET embedding = '[1,0]' WHERE chunk_id = %s")
    connection.execute(change.format(generation.table), (chunks[0].chunk_id,))


def _left_in_hand(connection: Connection, generation: Generation, chunks: Sequence[Chunk]) -> None:
    _statement("DELETE FROM {table} WHERE chunk_id = %(id)s")(connection, generation, chunks)
    connection.execute("SELECT ingestion.enqueue_missing(1, NULL)")
    assert claims.claim(connection, generation, "a worker that dies", limit=9, lease=0.0)
    connection.execute("UPDATE ingestion.owners SET lease_until = now() - interval '1 minute'")


def _interrupted_index(
    connection: Connection, generation: Generation, chunks: Sequence[Chunk]
) -> None:
    build = sql.SQL("CREATE INDEX {} ON {} USING hnsw (embedding vector_cosine_ops)")
    name = f"{generation.name}_hnsw"
    connection.execute(build.format(sql.Identifier(name), generation.table))
    connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass",
        (f"ingestion.{name}",),
    )


_WAIT = """
INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)
VALUES ({}, {}, {}, 'pending')
"""
DAMAGE: list[tuple[str, int, Break]] = [
    ("chunks_orphaned", 3, _statement("DELETE FROM ingestion.documents")),
    (
        "chunks_misplaced",
        1,
        _statement(
            "UPDATE ingestion.chunks SET partition_key = 'notes/07' WHERE chunk_id = %(id)s"
        ),
    ),
    ("vectors_missing", 1, _statement("DELETE FROM {table} WHERE chunk_id = %(id)s")),
    ("vectors_orphaned", 1, _statement("DELETE FROM ingestion.chunks WHERE chunk_id = %(id)s")),
    (
        "vectors_stale",
        1,
        _statement("UPDATE {table} SET content_hash = 'old' WHERE chunk_id = %(id)s"),
    ),
    ("vectors_of_wrong_dimension", 1, _wrong_dimension),
    (
        "vectors_dead",
        1,
        _statement("UPDATE {table} SET embedding = '[0,0,0,0]' WHERE chunk_id = %(id)s"),
    ),
    (
        "vectors_not_unit",
        1,
        _statement("UPDATE {table} SET embedding = '[3,4,0,0]' WHERE chunk_id = %(id)s"),
    ),
    (
        "ledger_orphaned",
        1,
        _statement(_WAIT.format("%(generation)s", "gen_random_uuid()", "'x'")),
    ),
    (
        "ledger_settled",
        3,
        _statement(
            "INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)"
            " SELECT %(generation)s, chunk_id, content_hash, 'pending' FROM ingestion.chunks"
        ),
    ),
    ("ledger_of_no_generation", 1, _statement(_WAIT.format("99", "%(id)s", "'x'"))),
    ("leases_expired", 1, _left_in_hand),
    ("tables_missing", 1, _statement("DROP TABLE {table} CASCADE")),
    ("functions_missing", 1, _statement("DROP FUNCTION ingestion.retry_at")),
    (
        "functions_missing",
        1,
        _statement(
            "CREATE OR REPLACE FUNCTION ingestion.enqueue_inserted() RETURNS trigger"
            " LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$"
        ),
    ),
    ("triggers_missing", 1, _statement("DROP TRIGGER enqueue_updated ON ingestion.chunks")),
    ("triggers_missing", 2, _statement("ALTER TABLE ingestion.chunks DISABLE TRIGGER USER")),
    ("views_missing", 1, _statement("DROP VIEW ingestion.chunk_status")),
    ("indexes_missing", 1, _statement("DROP INDEX ingestion.ledger_ready")),
    ("indexes_missing", 1, _statement("DROP INDEX ingestion.embeddings_1_content_hash_idx")),
    ("indexes_invalid", 1, _interrupted_index),
]


def test_all_that_the_migrations_made_is_looked_for(connection: Connection) -> None:
    functions = {
        name
        for (name,) in connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'ingestion'::regnamespace"
        )
    }
    triggers = {
        name
        for (name,) in connection.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
    }
    indexes = {
        name
        for (name,) in connection.execute(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE c.relnamespace = 'ingestion'::regnamespace"
            " AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid)"
        )
    }
    assert {*schema._functions()} == functions
    assert {*schema._triggers()} == triggers
    assert {*index._of_schema()} == indexes


def test_nothing_is_found_where_nothing_is_wrong(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    rows.store(connection, "b.md", ["waits", "for a worker"])
    assert claims.claim(connection, stored[0], "a worker", limit=1)
    assert _examine(connection) == {}


@pytest.mark.parametrize(
    ("kind", "count", "break_"),
    [pytest.param(*each, id=f"{each[0]}-{i}") for i, each in enumerate(DAMAGE)],
)
def test_damage_is_found_and_mended(
    kind: str,
    count: int,
    break_: Break,
    connection: Connection,
    stored: tuple[Generation, list[Chunk]],
) -> None:
    break_(connection, *stored)
    found = _examine(connection)
    assert found[kind].count == count
    assert found[kind].examples
    if kind != "tables_missing":  # takes the views along
        assert set(found) == {kind}
    examination.mend(connection, EVERYTHING)
    assert _examine(connection) == {}


def test_chunks_in_one_position_have_their_document_split_again(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    connection.execute("UPDATE ingestion.chunks SET ordinal = 0")
    assert _examine(connection)["chunks_doubled"].count == 3
    examination.mend(connection, EVERYTHING)
    due = connection.execute("SELECT count(*) FROM ingestion.documents WHERE chunked_as IS NULL")
    assert due.fetchone() == (1,)


def test_what_is_mended_is_embedded_again_and_searchable_until_then(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, chunks = stored
    _statement("UPDATE {table} SET embedding = '[3,4,0,0]' WHERE chunk_id = %(id)s")(
        connection, generation, chunks
    )
    examination.mend(connection, EVERYTHING)
    assert len(rows.stored_vectors(connection, generation)) == 3
    [text] = claims.claim(connection, generation, "a worker", limit=9)
    assert text.chunk_id == chunks[0].chunk_id
    claims.complete(connection, generation, rows.vectors([text]))
    assert rows.every_vector_belongs_to_its_text(connection, generation)
    assert _examine(connection) == {}


def test_lease_in_force_is_no_damage_and_is_left_alone(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, _ = stored
    rows.store(connection, "b.md", ["waits"])
    [text] = claims.claim(connection, generation, "a worker", limit=9)
    assert _examine(connection) == {}
    examination.mend(connection, EVERYTHING)
    assert claims.complete(connection, generation, rows.vectors([text])) == 1
    assert claims.claim(connection, generation, "another", limit=9) == []


def test_what_is_written_meanwhile_is_neither_found_nor_harmed(
    connection: Connection, stored: tuple[Generation, list[Chunk]], database: str
) -> None:
    generation, _ = stored
    with connect(database) as worker, audit.snapshot(connection):
        assert examination.examine(connection, EVERYTHING) == []
        rows.store(worker, "b.md", ["new"])
        texts = claims.claim(worker, generation, "a worker", limit=9)
        assert examination.examine(connection, EVERYTHING) == []
        claims.complete(worker, generation, rows.vectors(texts))
        assert examination.examine(connection, EVERYTHING) == []
    assert _examine(connection) == {}


def test_more_rows_than_a_transaction_mends_are_all_mended(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, _ = stored
    rows.store(connection, "long.md", [f"text {n}" for n in range(2_500)])
    connection.execute("DELETE FROM ingestion.ledger")
    assert _examine(connection)["vectors_missing"].count == 2_500
    examination.mend(connection, EVERYTHING)
    assert claims.depth(connection, generation).pending == 2_500
    assert _examine(connection) == {}


def test_damage_of_other_sources_is_left_out(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    _statement("DELETE FROM {table}")(connection, *stored)
    assert _examine(connection, Scope(["wiki"])) == {}
    examination.mend(connection, Scope(["wiki"]))
    assert _examine(connection, Scope(["notes"]))["vectors_missing"].count == 3


def test_chunks_of_a_partition_that_is_being_run_need_not_agree_yet(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, _ = stored
    connection.execute("UPDATE ingestion.chunks SET ordinal = 0")
    embeddings.outdate(connection, generation, rows.KEY)
    assert _examine(connection, Scope(busy=[rows.KEY])) == {}
    assert set(_examine(connection)) == {"chunks_doubled", "vectors_stale"}


def test_all_generations_in_use_are_looked_at(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    other = rows.generation(connection, model="other")
    assert _examine(connection) == {}
    connection.execute("DELETE FROM ingestion.ledger")
    assert _examine(connection)["vectors_missing"].count == 3
    examination.mend(connection, EVERYTHING)
    assert claims.depth(connection, other).pending == 3
