"""Attached tables that went out of step are found, and mended without embedding what is well."""

from collections.abc import Iterator

import pytest

from ingestion_assets.doctor import examination
from ingestion_assets.store import audit
from ingestion_assets.store.attached import AttachedQueue, Attachment
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.damage.finding import Finding, Scope
from ingestion_assets_tests.store.attached import given


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def attached(connection: Connection, database: str) -> tuple[Attachment, AttachedQueue]:
    """Three notes, attached and embedded."""
    connection.execute(given.NOTES)
    connection.execute("INSERT INTO notes (title, body) VALUES ('a', 'x'), ('b', 'y'), ('c', 'z')")
    attachment = given.attached(connection)
    queue = AttachedQueue(database, attachment, "a worker")
    assert len(given.work(queue)) == 3
    return attachment, queue


def _examine(connection: Connection) -> dict[str, Finding]:
    with audit.snapshot(connection):
        return {found.kind.name: found for found in examination.examine(connection, Scope())}


def _unheard(connection: Connection, statement: str) -> None:
    """Change the application's table without its triggers."""
    connection.execute("SET session_replication_role = replica")
    connection.execute(statement.encode())
    connection.execute("RESET session_replication_role")


@pytest.mark.parametrize(
    ("kind", "statement", "embedded"),
    [
        ("attached_rows_missing", "INSERT INTO notes (title, body) VALUES ('d', 'new')", 1),
        ("attached_rows_orphaned", "DELETE FROM notes WHERE title = 'a'", 0),
        ("attached_vectors_missing", "UPDATE notes SET embedding = NULL WHERE title = 'a'", 1),
    ],
)
def test_rows_out_of_step_are_found_and_mended(
    kind: str,
    statement: str,
    embedded: int,
    connection: Connection,
    attached: tuple[Attachment, AttachedQueue],
) -> None:
    assert _examine(connection) == {}
    _unheard(connection, statement)
    assert {name: found.count for name, found in _examine(connection).items()} == {kind: 1}
    examination.mend(connection, Scope())
    assert _examine(connection) == {}
    assert len(given.work(attached[1])) == embedded


def test_what_changed_without_a_trigger_is_embedded_when_it_is_back(
    connection: Connection, attached: tuple[Attachment, AttachedQueue]
) -> None:
    connection.execute("ALTER TABLE notes DISABLE TRIGGER ALL")
    connection.execute("UPDATE notes SET body = 'other' WHERE title = 'b'")
    connection.execute("ALTER TABLE notes ENABLE TRIGGER ALL")
    connection.execute("DROP TRIGGER zz_ingestion_1_update ON notes")
    assert set(_examine(connection)) == {"attached_triggers_missing"}
    examination.mend(connection, Scope())
    assert _examine(connection) == {}
    [text] = given.work(attached[1])
    assert "other" in text
    connection.execute("UPDATE notes SET body = 'again' WHERE title = 'c'")
    assert len(given.work(attached[1])) == 1, "the trigger tells again"


def test_row_of_a_worker_that_died_is_given_back_and_one_in_hand_is_not(
    connection: Connection, attached: tuple[Attachment, AttachedQueue]
) -> None:
    connection.execute("UPDATE notes SET body = body || '!'")
    assert len(attached[1].claim(2)) == 2
    assert _examine(connection) == {}
    connection.execute(
        "UPDATE ingestion.attached_rows SET lease_until = now() - interval '1 s'"
        " WHERE row_key = (SELECT min(row_key) FROM ingestion.attached_rows"
        "                  WHERE state = 'processing')"
    )
    assert _examine(connection)["attached_leases_expired"].count == 1
    examination.mend(connection, Scope())
    assert _examine(connection) == {}
    states = connection.execute("SELECT state FROM ingestion.attached_rows ORDER BY state")
    assert [state for (state,) in states] == ["pending", "pending", "processing"]


def test_table_that_was_dropped_is_named_and_left_to_the_operator(
    connection: Connection, attached: tuple[Attachment, AttachedQueue]
) -> None:
    connection.execute("DROP TABLE notes")
    examination.mend(connection, Scope())
    found = _examine(connection)
    assert set(found) == {"attached_tables_gone"}
    assert not found["attached_tables_gone"].kind.mends
