"""The worker over a table that an application owns."""

import pytest
from click.testing import CliRunner

from ingestion_assets.cli import main
from ingestion_assets.store.connection import Connection
from ingestion_assets_tests.services.faulty_ollama import Double
from ingestion_assets_tests.worker.conftest import Start
from ingestion_assets_tests.worker.given import insert, wait_until_stored
from ingestion_assets_tests.worker.running import wait_for


@pytest.fixture(autouse=True)
def _notes(connection: Connection, database: str, double: Double) -> None:
    """A table of notes, attached; one note is there."""
    connection.execute("CREATE TABLE notes (id serial PRIMARY KEY, body text)")
    connection.execute("INSERT INTO notes (body) VALUES ('the first one')")
    environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOST": double.url}
    attach = ["attach", "notes", "--text-column", "body", "--prefix", ""]
    result = CliRunner().invoke(main, attach, env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def _embedded(connection: Connection, double: Double, body: str) -> bool:
    """Whether the note has the vector of its present text."""
    row = connection.execute(
        "SELECT embedding::real[] FROM notes WHERE body = %s AND embedding_status = 'completed'",
        (body,),
    ).fetchone()
    return row is not None and max(map(abs, row[0] - double.vector(body))) < 1e-5


def test_rows_are_embedded_before_there_is_a_single_chunk(start: Start, connection, double):
    with start() as process:
        wait_for(lambda: _embedded(connection, double, "the first one"))
        connection.execute("INSERT INTO notes (body) VALUES ('the second one')")
        wait_for(lambda: _embedded(connection, double, "the second one"))
        connection.execute("UPDATE notes SET body = 'another' WHERE id = 1")
        wait_for(lambda: _embedded(connection, double, "another"))
        assert process.figure("embedding_total", queue="notes") == 3


def test_a_table_that_is_gone_does_not_keep_the_chunks_from_being_embedded(start, connection):
    with start():
        insert(connection, "first.md")
        wait_until_stored(connection, 1)
        connection.execute("ALTER TABLE notes RENAME COLUMN body TO renamed")
        connection.execute("INSERT INTO notes (renamed) VALUES ('unreadable')")
        insert(connection, "second.md")
        wait_until_stored(connection, 2)


def test_a_backfill_embeds_the_rows_too(start: Start, connection, double):
    connection.execute(
        "INSERT INTO notes (body) SELECT 'note ' || i FROM generate_series(1, 300) i"
    )
    with start("--backfill") as process:
        assert process.popen.wait(60) == 0
    assert all(_embedded(connection, double, f"note {i}") for i in range(1, 301))
