"""The model is changed under questions and a writer, and killed on the way: no answer suffers."""

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ingestion_assets.cli import main
from ingestion_assets.embedding import Ollama
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.request import Search
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.retrieval.servers import Servers
from ingestion_assets.store import index
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import active, find
from ingestion_assets.store.generations.listing import Listed, generations
from ingestion_assets.store.pool import open_pool
from ingestion_assets_tests.services.faulty_ollama import Double, running
from ingestion_assets_tests.store import rows
from ingestion_assets_tests.worker.running import Process, wait_for, worker

TEXTS = 400


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    """Two models, and time enough to be killed while one of them embeds."""
    with running(models={"other": 128}, request_ms=4, text_ms=5) as double:
        yield double


@pytest.fixture
def environment(database: str, double: Double, tmp_path: Path) -> dict[str, str]:
    return {
        "INGESTION_DATABASE_URL": database,
        "INGESTION_STATE": str(tmp_path / "state"),
        "OLLAMA_HOST": double.url,
        "INGEST_WORKER_PORT": "0",
        "INGEST_WORKER_SWEEP": "1",
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Callable[[], Any]:
    logs = count()
    return lambda: worker(tmp_path / f"log{next(logs)}", environment=environment)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


def _ingest(environment: dict[str, str], *arguments: str) -> None:
    result = CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def _listed(connection: Connection, number: int) -> Listed:
    return next(g for g in generations(connection) if g.generation.generation_id == number)


def _embedded(connection: Connection, number: int) -> int:
    found = find(connection, number)
    if found is None:
        return 0
    row = connection.execute(f"SELECT count(*) FROM ingestion.{found.name}").fetchone()
    return int(row[0]) if row else 0


def _is_active(connection: Connection, number: int) -> bool:
    found = active(connection)
    return found is not None and found.generation_id == number


def _kill(process: Process) -> None:
    os.kill(process.popen.pid, signal.SIGKILL)
    process.popen.wait()


def _end_leases(connection: Connection) -> None:
    """What a minute would do."""
    connection.execute("DELETE FROM ingestion.owners")
    connection.execute("UPDATE ingestion.ledger SET lease_until = now() WHERE owner IS NOT NULL")


class _Traffic:
    """Questions one after the other, and a document now and then; what was wrong with an answer."""

    def __init__(self, database: str, ollama: str) -> None:
        self.answers: Counter[int | None] = Counter()
        self.wrong: list[str] = []
        self._database, self._ollama = database, ollama
        self._stop = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=lambda: asyncio.run(self._ask())),
            threading.Thread(target=self._write),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    async def _ask(self) -> None:
        async with (
            open_pool(self._database) as pool,
            Servers([Ollama(self._ollama)], timeout=60) as servers,
        ):
            searcher = Searcher(pool, QueryEmbedder(servers))
            for number in count():
                if self._stop.is_set():
                    return
                await self._one(searcher, f"text {number % TEXTS}")
                await asyncio.sleep(0.02)

    async def _one(self, searcher: Searcher, text: str) -> None:
        try:
            found = await searcher.search(Search(text, 10, "vector"))
        except Exception as error:
            self.wrong.append(f"{text}: {error!r}")
            return
        made = {hit.generation for hit in found.hits}
        self.answers[found.generation_id] += 1
        # The question is a stored text: by its own model it is found first, at no distance.
        first = found.hits[0] if found.hits else None
        if (
            len(found.hits) != 10
            or made != {found.generation_id}
            or found.degraded
            or first is None
            or first.text != text
            or (first.distance or 0) > 1e-4
        ):
            self.wrong.append(f"{text}: {len(found.hits)} hits of {made}, {found.degraded}")

    def _write(self) -> None:
        with connect(self._database) as connection:
            for number in count():
                if self._stop.wait(0.3):
                    return
                rows.store(connection, f"new{number}.md", [f"written meanwhile {number}"])


def test_a_model_is_changed_and_changed_back_though_everything_is_killed(
    database, double, environment, start, connection
):
    rows.store(connection, "a.md", [f"text {n}" for n in range(TEXTS)])
    with start():
        wait_for(lambda: _embedded(connection, 1) == TEXTS)
    first = active(connection)
    assert first is not None
    index.build_vector_index(connection, first)

    traffic = _Traffic(database, double.url)
    with traffic.going_on():
        _ingest(environment, "reembed", "--model", "other")
        with start() as filling:
            wait_for(lambda: _embedded(connection, 2) > 0)
            _kill(filling)
        assert _embedded(connection, 2) < TEXTS
        _end_leases(connection)
        with connect(database) as holder, holder.transaction(force_rollback=True):
            # The build waits for this writer, so that it is killed before its end.
            holder.execute("LOCK TABLE ingestion.embeddings_2 IN ROW EXCLUSIVE MODE")
            with start() as building:
                wait_for(lambda: _listed(connection, 2).index.state != "none")
                assert _is_active(connection, 1)
                _kill(building)
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index"
                )
        _end_leases(connection)
        wait_for(lambda: _listed(connection, 2).index.state == "invalid")
        with start():
            wait_for(lambda: _is_active(connection, 2))
            assert _listed(connection, 2).index.state == "valid"
            wait_for(lambda: traffic.answers[2] > 20)
            written = _embedded(connection, 1)
            wait_for(lambda: _embedded(connection, 1) > written)  # what is kept gets the new ones
            _ingest(environment, "generations", "rollback")
            before = traffic.answers[1]
            wait_for(lambda: traffic.answers[1] > before + 20)
    assert traffic.wrong == []
    assert set(traffic.answers) == {1, 2}
