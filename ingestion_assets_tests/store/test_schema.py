"""Databases are brought to this code's version once, by one process, or left alone."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingestion_assets.errors import SchemaVersionError, StoreError
from ingestion_assets.metrics import Figure
from ingestion_assets.store import claims, counters, freshness, schema
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Plan, active
from ingestion_assets.store.generations.listing import generations
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.store import rows

MIGRATE = (
    "import sys; from ingestion_assets.store.schema import migrate; print(migrate(sys.argv[1]))"
)

_FIRST_SIX = [
    "001_initial.sql", "002_ledger.sql", "003_claims.sql", "004_attached.sql", "005_canary.sql",
    "006_looks.sql",
]  # fmt: skip


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """Connection string of a database in which nothing was migrated."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(postgres, dbname=name)
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        server.execute(drop.format(sql.Identifier(name)))


def test_a_migrated_database_is_left_as_it_is(empty):
    first = migrate(empty)
    assert first[0] == "001_initial.sql"
    assert migrate(empty) == []
    with connect(empty) as connection:
        rows = connection.execute("SELECT name FROM ingestion.schema_versions ORDER BY version")
        assert [name for (name,) in rows] == first


def test_four_processes_that_start_at_once_migrate_once(empty):
    command = [sys.executable, "-c", MIGRATE, empty]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = [(*process.communicate(timeout=60), process.returncode) for process in processes]
    assert [(error, code) for _, error, code in answers] == [("", 0)] * 4
    assert [answer for answer, _, _ in answers].count("[]\n") == 3


def test_processes_wait_for_one_another(empty):
    with connect(empty) as holder, holder.transaction():
        holder.execute("SELECT pg_advisory_xact_lock(hashtextextended('ingestion:migrate', 0))")
        impatient = make_conninfo(empty, options="-c lock_timeout=200ms")
        with pytest.raises(StoreError, match="lock timeout") as caught:
            migrate(impatient)
    assert caught.value.retryable


def test_a_newer_database_is_refused(database):
    with connect(database) as connection:
        connection.execute("INSERT INTO ingestion.schema_versions VALUES (999, '999_later.sql')")
    with pytest.raises(SchemaVersionError, match=r"version 999.*update ingestion-assets"):
        migrate(database)


def test_a_migration_that_fails_leaves_nothing_behind(empty):
    _hide_pgvector(empty)
    with pytest.raises(StoreError):
        migrate(empty)
    with connect(empty) as connection:
        assert connection.execute("SELECT to_regnamespace('ingestion')").fetchone() == (None,)


def test_a_server_without_pgvector_is_told_to_install_it(empty):
    _hide_pgvector(empty)
    with pytest.raises(StoreError, match=r"install pgvector 0\.8 or newer"):
        migrate(empty)


def test_a_user_without_rights_is_told_what_to_grant(empty):
    role = f"guest_{uuid4().hex}"
    with connect(empty) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        try:
            with pytest.raises(StoreError, match="GRANT CREATE ON DATABASE"):
                migrate(make_conninfo(empty, user=role))
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_an_earlier_database_gets_the_queue_of_what_it_holds(empty, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "_migrations", lambda: ["001_initial.sql", "002_ledger.sql"])
        migrate(empty)
    with connect(empty) as connection:
        connection.execute(
            "INSERT INTO ingestion.generations (model, digest, dimensions, storage,"
            " document_prefix, query_prefix, options, fingerprint, status)"
            " VALUES ('m', '', 4, 'vector', '', '', '{}', '', 'active')"
        )
        connection.execute(
            "CREATE TABLE ingestion.embeddings_1 (chunk_id uuid PRIMARY KEY,"
            " content_hash bytea NOT NULL, embedding vector(4) NOT NULL)"
        )
        connection.execute("SELECT ingestion.show_generation(1)")
        # The present code writes the chunks.
        connection.execute("ALTER TABLE ingestion.chunks ADD COLUMN context text")
        _, (done, waiting, failed) = rows.store(connection, "a.md", ["done", "waiting", "failed"])
        connection.execute(
            "INSERT INTO ingestion.embeddings_1 VALUES (%s, %s, '[1,0,0,0]')",
            (done.chunk_id, done.content_hash),
        )
        connection.execute(
            "INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state,"
            " error_class, error, failed_at) VALUES (1, %s, %s, 'error', 'E', 'why', now())",
            (failed.chunk_id, failed.content_hash),
        )
        connection.execute("ALTER TABLE ingestion.chunks DROP COLUMN context")
        migrate(empty)
        found = connection.execute("SELECT chunk_id, state FROM ingestion.chunk_status")
        assert dict(found.fetchall()) == {
            done.chunk_id: "completed", waiting.chunk_id: "pending", failed.chunk_id: "error",
        }  # fmt: skip
        generation = active(connection)
        assert generation is not None
        claimed = claims.claim(connection, generation, "a", limit=9)
        assert {text.text for text in claimed} == {"waiting", "failed"}


def test_generations_of_an_earlier_database_are_kept_for_a_week(empty, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "_migrations", lambda: _FIRST_SIX)
        migrate(empty)
    with connect(empty) as connection:
        for number, status in enumerate(["retired", "active"], 1):
            connection.execute(
                "INSERT INTO ingestion.generations (model, digest, dimensions, storage,"
                " document_prefix, query_prefix, options, fingerprint, status)"
                " VALUES (%s, '', 4, 'vector', '', '', '{}', %s, %s)",
                (f"m{number}", f"f{number}", status),
            )
            connection.execute(
                f"CREATE TABLE ingestion.embeddings_{number} (chunk_id uuid PRIMARY KEY,"
                " content_hash bytea NOT NULL, embedding vector(4) NOT NULL)"
            )
        connection.execute("SELECT ingestion.show_generation(2)")
        migrate(empty)
        old, searched = generations(connection)
        assert (old.generation.status, old.is_filled) == ("retired", False)
        assert old.drop_after is not None
        assert old.drop_after - old.created_at >= timedelta(days=7)
        assert searched.schedule.plan == Plan()
        _, (chunk,) = rows.store(connection, "a.md", ["new"])
        waiting = connection.execute("SELECT generation_id, chunk_id FROM ingestion.ledger")
        assert waiting.fetchall() == [(2, chunk.chunk_id)]


def test_a_database_from_before_counters_and_freshness_gets_both(empty, monkeypatch):
    names = schema._migrations()
    mine = next(n for n, name in enumerate(names) if name.endswith("_observability.sql"))
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "_migrations", lambda: names[:mine])
        migrate(empty)
    with connect(empty) as connection:
        rows.store(connection, "a.md", ["one"])
        assert migrate(empty)[0] == names[mine]
        figure = Figure("ingestion_tokens_total", ("notes", "m"), 1.0)
        counters.add(connection, "notes", [figure])
        assert counters.counted(connection) == [figure]
        assert freshness.latencies(connection) == []


def _hide_pgvector(database: str) -> None:
    """Let the database look for extensions where there are none."""
    with connect(database) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET extension_control_path = '/nonexistent'").format(name)
        )
