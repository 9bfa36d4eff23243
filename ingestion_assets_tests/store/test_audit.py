from collections.abc import Callable, Iterator, Sequence

import pytest
from psycopg import sql

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.store import audit, ledger
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.ledger import Failed
from ingestion_assets_tests.store import rows

Break = Callable[[Connection, Generation, Sequence[Chunk]], None]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def stored(connection: Connection) -> tuple[Generation, list[Chunk]]:
    """Two chunks of one document, with their vectors."""
    generation = rows.generation(connection)
    _, chunks = rows.store(connection, "a.md", ["one", "two words"])
    rows.embed(connection, generation, chunks)
    connection.execute("DELETE FROM ingestion.ledger")
    # So that the tests can do what foreign keys and triggers forbid.
    connection.execute("SET session_replication_role = replica")
    return generation, chunks


def _no_vector(connection: Connection, generation: Generation, chunks: Sequence[Chunk]) -> None:
    query = sql.SQL("DELETE FROM {} WHERE chunk_id = %s").format(generation.table)
    connection.execute(query, (chunks[0].chunk_id,))


def _no_chunk(connection: Connection, generation: Generation, chunks: Sequence[Chunk]) -> None:
    connection.execute("DELETE FROM ingestion.chunks WHERE chunk_id = %s", (chunks[0].chunk_id,))


def _waits_for_nothing(
    connection: Connection, generation: Generation, chunks: Sequence[Chunk]
) -> None:
    connection.execute(
        "INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)"
        " VALUES (%s, gen_random_uuid(), 'x', 'pending')",
        (generation.generation_id,),
    )


@pytest.mark.parametrize(
    ("break_", "what"),
    [
        (_no_vector, "neither a vector nor a row in the ledger"),
        (_no_chunk, "has a vector, but is gone"),
        (_waits_for_nothing, "waits in the ledger, but is gone"),
    ],
)
def test_tables_that_disagree_are_found(
    break_: Break, what: str, connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, _ = stored
    assert audit.totals(connection, generation).agree
    assert audit.disagreements(connection, generation, 50) == []
    break_(connection, *stored)
    [found] = audit.disagreements(connection, generation, 50)
    assert what in found.what
    assert not audit.totals(connection, generation).agree


def test_chunk_that_waits_for_its_vector_is_no_disagreement(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, chunks = stored
    _no_vector(connection, generation, chunks)
    ledger.enqueue_missing(connection, generation, rows.KEY)
    assert audit.totals(connection, generation).agree
    assert audit.disagreements(connection, generation, 50) == []


def test_no_more_disagreements_are_found_than_are_listed(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, chunks = stored
    for chunk in chunks:
        _no_vector(connection, generation, [chunk])
    assert len(audit.disagreements(connection, generation, 50)) == len(chunks) > 1
    assert len(audit.disagreements(connection, generation, 1)) == 1


def test_superseded_chunk_needs_no_vector(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, chunks = stored
    _no_vector(connection, generation, chunks)
    connection.execute("UPDATE ingestion.chunks SET superseded = ordinal = 0")
    assert audit.totals(connection, generation).agree
    assert audit.disagreements(connection, generation, 50) == []


def test_chunks_of_documents_that_are_gone_are_found_everywhere(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    assert audit.misplaced(connection, None, 50) == []
    connection.execute("DELETE FROM ingestion.documents")
    [found] = audit.misplaced(connection, None, 50)
    assert found.what == "has chunks, but is gone"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM ingestion.documents", "has no document"),
        ("UPDATE ingestion.documents SET partition_key = 'notes/01'", "is in partition notes/00"),
        ("UPDATE ingestion.chunks SET ordinal = 0", "shares its position 0"),
    ],
)
def test_misplaced_chunks_are_found_in_their_partition_only(
    statement: str, what: str, connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    assert audit.misplaced(connection, rows.KEY, 50) == []
    connection.execute(statement.encode())
    assert [what in found.what for found in audit.misplaced(connection, rows.KEY, 50)] == [True] * 2
    assert audit.misplaced(connection, "notes/01", 50) == []


def test_replaced_chunk_may_share_its_position_with_the_one_that_replaces_it(
    connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    connection.execute("UPDATE ingestion.chunks SET ordinal = 0, superseded = ordinal = 0")
    assert audit.misplaced(connection, rows.KEY, 50) == []


@pytest.mark.parametrize(
    ("assignment", "what"),
    [
        ("embedding = '[3, 4, 0, 0]'", "length 5.0000 instead of 1"),
        ("content_hash = 'x'", "the vector of another text"),
    ],
)
def test_unsound_vectors_are_found(
    assignment: str, what: str, connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    generation, chunks = stored
    assert audit.unsound(connection, generation, 50) == []
    query = sql.SQL("UPDATE {} SET {} WHERE chunk_id = %s").format(
        generation.table, sql.SQL(assignment)
    )
    connection.execute(query, (chunks[0].chunk_id,))
    [found] = audit.unsound(connection, generation, 50)
    assert found.document == "notes/a.md"
    assert what in found.what


def test_vectors_of_half_width_are_of_unit_length_within_their_precision(
    connection: Connection,
) -> None:
    generation = rows.generation(connection, dimensions=2001)
    _, chunks = rows.store(connection, "a.md", ["one", "two"])
    rows.embed(connection, generation, chunks)
    assert audit.unsound(connection, generation, 50) == []


@pytest.mark.parametrize("key", [rows.KEY, None])
def test_texts_longer_than_the_model_reads_are_found(
    key: str | None, connection: Connection, stored: tuple[Generation, list[Chunk]]
) -> None:
    assert audit.too_long(connection, key, 2, 50) == []
    [found] = audit.too_long(connection, key, 1, 50)
    assert found.what == "2 tokens at position 1"


def test_texts_that_wait_long_are_found_unless_they_are_quarantined(
    connection: Connection,
) -> None:
    generation = rows.generation(connection)
    _, [chunk] = rows.store(connection, "a.md", ["one"])
    connection.execute("UPDATE ingestion.ledger SET enqueued_at = now() - interval '2 hours'")
    [found] = audit.waiting(connection, generation, 3600, 50)
    assert (found.document, found.what) == ("notes/a.md", "1 texts, for 2.0 hours")
    assert audit.waiting(connection, generation, 8000, 50) == []
    assert 7000 < audit.oldest_wait(connection, generation) < 8000
    failed = Failed(chunk.chunk_id, chunk.content_hash, "PoisonTextError", "why", True)
    ledger.record(connection, generation, [failed])
    assert audit.waiting(connection, generation, 3600, 50) == []
    assert audit.totals(connection, generation) == audit.Totals(1, 1, 0, 1, 1, True)
    assert audit.quarantined(connection, generation, 50) == [
        audit.Finding("notes/a.md", "1 texts: PoisonTextError")
    ]


def test_a_snapshot_does_not_see_what_others_write(connection: Connection, database: str) -> None:
    generation = rows.generation(connection)
    with connect(database) as other, audit.snapshot(connection):
        before = audit.totals(connection, generation)
        rows.store(other, "a.md", ["one"])
        assert audit.totals(connection, generation) == before
    assert audit.totals(connection, generation) != before
