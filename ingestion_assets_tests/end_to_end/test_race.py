"""Everybody at once: runs, workers and a writer, with kills and outages in between."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from ingestion_assets.changes import Changes
from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.errors import StoreUnavailableError
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.store import chunks, documents, sources
from ingestion_assets.store.connection import connect
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.services.faulty_ollama import Double, running
from ingestion_assets_tests.store import rows
from ingestion_assets_tests.worker.running import Process, wait_for, worker

SECONDS = float(os.environ.get("RACE_SECONDS", "20"))
OUTAGE = min(10.0, SECONDS / 4)  # of Ollama
IN_HAND = 3 * 64  # texts that one process may have sent and not stored: three requests of a run
CANARIES = 8  # different texts that prove a server, at most
BACKFILLS = """
import sys
import dagster as dg
from ingestion_assets.defs import build
from ingestion_assets.defs.partitions import register
from ingestion_assets.settings import Settings

job = build.definitions(Settings.from_environment()).resolve_job_def("embed_job")
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
with dg.DagsterInstance.ephemeral() as instance:
    register(instance, ["notes/00"])
    while True:
        result = job.execute_in_process(
            instance=instance, partition_key="notes/00", run_config=quiet, raise_on_error=False
        )
        print("succeeded" if result.success else "failed", flush=True)
"""


class Writer:
    """Inserts, edits and deletes documents; no text is ever written twice."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._dice = random.Random(4)
        self._names = (f"text {n}" for n in count())
        self._stored: dict[str, list[Chunk]] = {}
        self.texts = 0

    def work(self, until: float) -> None:
        """Go on until the time has come, through whatever befalls the database."""
        while time.monotonic() < until:
            try:
                with connect(self._url) as connection:
                    sources.register(connection, "notes", "files", 1, {})
                    while time.monotonic() < until:
                        self._change(connection)
                        time.sleep(0.01)
            except StoreUnavailableError:  # the database is restarting
                time.sleep(0.2)

    def _change(self, connection: psycopg.Connection) -> None:
        chance, uri = self._dice.random(), f"{self._dice.randrange(60)}.md"
        old = self._stored.get(uri, [])
        if old and chance < 0.1:
            self._stored[uri] = old  # until it is known that they are gone
            documents.write(connection, Changes(gone=[old[0].document_id]))
            del self._stored[uri]
            return
        kept = [chunk.text for chunk in old if self._dice.random() < 0.7]
        new = [next(self._names) for _ in range(self._dice.randrange(1, 8))]
        self.texts += len(new)
        owner = rows.document(uri, "\n".join(kept + new))
        pieces = rows.split(owner, kept + new)
        ids = {piece.chunk_id for piece in pieces}
        documents.write(connection, Changes([owner]))
        stored = {piece.chunk_id for piece in _present(connection, owner.document_id)}
        chunks.write(
            connection,
            rows.batch(
                owner,
                new=[piece for piece in pieces if piece.chunk_id not in stored],
                gone=[chunk for chunk in old if chunk.chunk_id not in ids],
            ),
        )
        self._stored[uri] = pieces


def _present(connection: psycopg.Connection, document_id: object) -> list[Chunk]:
    found = connection.execute(
        "SELECT chunk_id, document_id, ordinal, heading, text, content_hash, tokens, start_offset,"
        " end_offset FROM ingestion.chunks WHERE document_id = %s AND NOT superseded",
        (document_id,),
    )
    return [Chunk(*row) for row in found]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A Postgres of the test's own, to be restarted."""
    with embedded_postgres(tmp_path / "state") as server:
        migrate(server.address)
        yield server.address


@contextmanager
def _backfills(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One run of the partition after the other, as Dagster executes them."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", BACKFILLS], env={**os.environ, **environment}, stdout=said
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_whatever_happens_every_text_gets_its_own_vector_and_hardly_one_is_sent_twice(
    url: str, tmp_path: Path
) -> None:
    with running(request_ms=10, text_ms=1) as double, ExitStack() as stack:
        environment = {
            "INGESTION_DATABASE_URL": url,
            "INGESTION_STATE": str(tmp_path / "state"),
            "OLLAMA_HOST": double.url,
            "INGEST_WORKER_PORT": "0",
            "INGEST_WORKER_SWEEP": "2",
            "INGEST_BREAKER_SECONDS": "1",
        }
        workers = [_start(stack, tmp_path, environment, n) for n in range(3)]
        wait_for(lambda: all(worker.url for worker in workers))
        log = tmp_path / "backfills.log"
        backfills = stack.enter_context(_backfills(environment, log))
        wait_for(lambda: _succeeded(log) > 0, seconds=120)  # they are at work before it begins
        writer = Writer(url)
        began = time.monotonic()

        writer.work(began + SECONDS * 0.25)
        workers[0].popen.send_signal(signal.SIGKILL)
        writer.work(began + SECONDS * 0.4)
        double.break_by({"fault": "F2", "until": OUTAGE})
        writer.work(began + SECONDS * 0.7)
        _restart(url)
        writer.work(began + SECONDS * 0.85)
        workers[1].popen.send_signal(signal.SIGKILL)
        writer.work(began + SECONDS)

        wait_for(lambda: _waiting(url) == 0, seconds=120)
        assert backfills.poll() is None
        before = _succeeded(log)
        wait_for(lambda: _succeeded(log) > before, seconds=120)  # and have survived it
        assert _wrong(url, double) == []
        assert _counts(url)[0] == _counts(url)[1] > 0
        assert _sent_again(double) <= 4 * IN_HAND
        assert double.stats()["distinct"] <= writer.texts + CANARIES


def _succeeded(log: Path) -> int:
    """Runs of the embeddings asset that have succeeded so far."""
    return log.read_text().count("succeeded")


def _start(stack: ExitStack, folder: Path, environment: dict[str, str], n: int) -> Process:
    return stack.enter_context(worker(folder / f"worker{n}.log", environment=environment))


def _restart(url: str) -> None:
    """Have Postgres restart as it does after a crash: every connection ends, the log is replayed.

    It does so by itself when one of its processes is killed.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: _answers(url))


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url):
            return True
    except psycopg.OperationalError:
        return False


def _waiting(url: str) -> int:
    """Chunks without a vector of their text."""
    total, embedded = _counts(url)
    return total - embedded


def _counts(url: str) -> tuple[int, int]:
    """Chunks, and those with a vector of their present text."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*), count(e.chunk_id) FROM ingestion.chunks c"
            " LEFT JOIN ingestion.embeddings e USING (chunk_id, content_hash)"
            " WHERE NOT c.superseded"
        ).fetchone()
    assert found
    return found[0], found[1]


def _wrong(url: str, double: Double) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT text, embedding::float4[] FROM ingestion.chunks"
            " JOIN ingestion.embeddings USING (chunk_id) WHERE NOT superseded",
            binary=True,
        )
        return [text for text, vector in found if double.vector(text).tolist() != vector]


def _sent_again(double: Double) -> int:
    """How often a text of ours was embedded that had been before."""
    repeated = double.stats()["repeated"].items()
    return sum(times - 1 for text, times in repeated if text.startswith("text "))
