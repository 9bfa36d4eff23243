"""The real process: what it embeds, what it survives, and how it ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from ingestion_assets.store.connection import Connection
from ingestion_assets_tests.services.faulty_ollama import running
from ingestion_assets_tests.worker.conftest import Start
from ingestion_assets_tests.worker.given import (
    are_right,
    insert,
    states,
    stored,
    storm,
    wait_until_stored,
)
from ingestion_assets_tests.worker.running import wait_for


@contextmanager
def _outage(postgres: str, connection: Connection) -> Iterator[None]:
    """The test's database lets nobody in but the test itself."""
    name = sql.Identifier(connection.info.dbname)
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(allow.format(name, sql.SQL("false")))
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            " AND pid <> %s",
            (connection.info.dbname, connection.info.backend_pid),
        )
        yield
        admin.execute(allow.format(name, sql.SQL("true")))


def test_what_was_there_before_and_what_is_notified_is_embedded(start: Start, connection, double):
    insert(connection, "before.md", 3)
    with start() as process:
        wait_until_stored(connection, 3)
        insert(connection, "notified.md")
        wait_until_stored(connection, 4)
        assert process.figure("embedding_total", queue="chunks") == 4
    assert are_right(connection, double)
    assert states(connection) == {}


def test_what_no_notification_told_of_is_found_by_the_sweep(start: Start, connection):
    insert(connection, "first.md")
    with start(INGEST_WORKER_SWEEP="0.5"):
        wait_until_stored(connection, 1)
        connection.execute("ALTER TABLE ingestion.chunks DISABLE TRIGGER USER")
        insert(connection, "unheard.md")
        connection.execute(
            "INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)"
            " SELECT 1, chunk_id, content_hash, 'pending' FROM ingestion.chunks"
            " WHERE text LIKE 'unheard%'"
        )
        wait_until_stored(connection, 2)


def test_a_storm_of_notifications_is_a_few_wakeups(start: Start, connection):
    insert(connection, "first.md")
    with start() as process:
        wait_until_stored(connection, 1)
        before = process.figure("embedding_wakeups_total") or 0
        storm(connection, 10_000)
        wait_until_stored(connection, 10_001)
        wakeups = (process.figure("embedding_wakeups_total") or 0) - before
        assert 0 < wakeups < 10_000 / 10


def test_it_outlives_an_outage_of_postgres(start: Start, connection, postgres, double):
    insert(connection, "first.md")
    with start() as process:
        wait_until_stored(connection, 1)
        process.wait_for_log("Listening to")
        with _outage(postgres, connection):
            insert(connection, "meanwhile.md", 5)
            process.wait_for_log("Nobody listens")
            assert process.get("/readyz").status_code == 503
            assert process.get("/healthz").json() == {"live": True}
        wait_until_stored(connection, 6)
        insert(connection, "afterwards.md")
        wait_until_stored(connection, 7)
        assert process.stop() == 0
    assert are_right(connection, double)


def test_it_waits_for_a_postgres_that_is_down_at_the_start(start: Start, connection, postgres):
    insert(connection, "first.md")
    with start() as process:
        with _outage(postgres, connection):
            process.wait_for_log("Postgres is away")
        wait_until_stored(connection, 1)


def test_it_waits_for_an_ollama_that_is_down_at_the_start(start: Start, connection):
    insert(connection, "first.md")
    with running() as gone:
        pass
    port = int(gone.url.rpartition(":")[2])
    with start(OLLAMA_HOST=gone.url) as process:
        process.wait_for_log("No Ollama answers")
        ready = process.get("/readyz")
        assert (ready.status_code, ready.json()["database"]) == (503, "ok")
        assert "cannot connect" in ready.json()["ollama"][gone.url]
        with running(port=port):
            wait_until_stored(connection, 1)


def test_it_outlives_an_outage_of_ollama(start: Start, connection):
    insert(connection, "first.md")
    with (
        running() as double,
        start(OLLAMA_HOST=double.url, INGEST_BREAKER_SECONDS="0.5") as process,
    ):
        wait_until_stored(connection, 1)
        double.kill()
        insert(connection, "meanwhile.md", 30)
        process.wait_for_log("is open")
        closed = {"endpoint": double.url, "state": "closed"}
        assert process.figure("embedding_breaker_state", **closed) == 0
        with running(port=int(double.url.rpartition(":")[2])) as again:
            wait_until_stored(connection, 31)
            assert are_right(connection, again)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(start: Start, connection, number):
    insert(connection, "first.md")
    with start() as process:
        wait_until_stored(connection, 1)
        assert process.stop(number) == 0
        assert process.messages()[-1] == "Stopped"


def test_a_signal_finishes_what_is_in_hand_and_gives_back_the_rest(
    start: Start, connection, double
):
    double.reset(request_ms=1500, slots=1)
    insert(connection, "many.md", 2000)
    with start(INGEST_MAX_WORKERS="1") as process:
        wait_for(lambda: states(connection).get("processing", 0) > 0)
        wait_for(lambda: double.stats()["texts_seen"] > 12)  # besides the canaries
        assert process.stop() == 0
    assert len(stored(connection)) > 0
    assert states(connection) == {"pending": 2000 - len(stored(connection))}
    assert double.stats()["repeated"].keys().isdisjoint(stored(connection))


def test_a_signal_ends_it_with_0_while_ollama_hangs(start: Start, connection, double):
    insert(connection, "first.md")
    with start() as process:
        wait_until_stored(connection, 1)
        double.break_by({"fault": "F4", "seconds": 600})
        insert(connection, "hanging.md", 25)
        wait_for(lambda: double.stats()["in_flight"] > 0)
        assert process.stop() == 0
    assert states(connection) == {"pending": 25}


def test_a_text_that_cannot_be_embedded_is_isolated_and_counted(start: Start, connection, double):
    double.break_by({"fault": "F10", "match": "poison"})
    insert(connection, "first.md", 9)
    insert(connection, "poison.md")
    with start() as process:
        wait_until_stored(connection, 9)
        wait_for(lambda: states(connection) == {"error": 1})
        assert (
            process.figure("embedding_errors_total", queue="chunks", error="PoisonTextError") == 1
        )
        wait_for(
            lambda: (
                process.figure("embedding_queue_depth", queue="chunks", state="quarantined") == 1
            )
        )


def test_a_failure_in_passing_is_tried_again_later(start: Start, connection, double):
    """A server that refuses requests for good is no text's fault."""
    insert(connection, "first.md")
    with start() as process:
        wait_until_stored(connection, 1)
        double.break_by({"fault": "F15", "times": 1})
        insert(connection, "later.md")
        process.wait_for_log("again in")
        attempts = connection.execute("SELECT attempts, not_before > now() FROM ingestion.ledger")
        assert attempts.fetchone() == (1, True)
        connection.execute("UPDATE ingestion.ledger SET not_before = now()")
        wait_until_stored(connection, 2)


def test_a_model_that_gives_other_vectors_than_before_embeds_nothing(start: Start, connection):
    insert(connection, "first.md")
    with start():
        wait_until_stored(connection, 1)
    connection.execute(
        "UPDATE ingestion.generations SET canary ="
        " (SELECT array_agg(-x) FROM unnest(canary) x) WHERE canary IS NOT NULL"
    )
    insert(connection, "second.md")
    with start() as process:
        process.wait_for_log("gives other vectors")
        assert process.stop() == 0
    assert len(stored(connection)) == 1


def test_secrets_are_not_in_the_log(start: Start):
    url = "postgresql://someone:hunter2@127.0.0.1:1/d"
    with start(INGESTION_DATABASE_URL=url, OLLAMA_API_KEY="hunter3") as process:
        process.wait_for_log("Postgres is away")
        ready = process.get("/readyz")
        assert ready.status_code == 503
        everything = f"{process.log()} {ready.text} {process.get('/metrics').text}"
        assert "hunter" not in everything
        assert process.stop() == 0


def test_a_port_in_use_is_named_and_ends_it_with_2(start: Start):
    with start() as first:
        port = first.url.rpartition(":")[2]
        with start(INGEST_WORKER_PORT=port) as second:
            assert second.popen.wait(30) == 2


def test_it_needs_no_dagster_and_nothing_that_reads_documents():
    large = {
        "dagster",
        "pandas",
        "lxml",
        "markdown_it",
        "rich",
        "yaml",
        "pypdfium2",
        "docx",
        "pptx",
    }
    program = f"import sys, ingestion_assets.cli.worker; print({large} & sys.modules.keys())"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


def test_memory_is_bounded_idle_and_at_work(start: Start, connection, double):
    double.reset(dimensions=768)
    insert(connection, "first.md")
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}  # a start that compiles all of it takes 4 MB more
    with start(**compiled):
        wait_until_stored(connection, 1)
    with start(**compiled, INGEST_WORKER_SWEEP="1") as process:
        process.wait_for_log("Listening to")
        insert(connection, "second.md")
        wait_until_stored(connection, 2)
        wait_for(lambda: process.memory("VmRSS") <= 64, 30)
        insert(connection, "many.md", 4000, size=120)
        wait_until_stored(connection, 4002)
        assert process.memory("VmHWM") <= 256
        wait_for(lambda: process.memory("VmRSS") <= 64, 30)


def test_little_is_claimed_in_batches_of_the_settings(start: Start, connection, double):
    requests = []
    for stored_then, size in ((3, "10"), (6, "1")):
        double.reset()
        insert(connection, f"{size}.md", 3)
        with start(INGEST_WORKER_BATCH=size):
            wait_until_stored(connection, stored_then)
        requests.append(double.stats()["requests"]["/api/embed"])
    assert requests[0] < requests[1]
