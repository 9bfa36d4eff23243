"""Postgres is stopped and started under load: every answer is well-formed, and all goes on."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.store.connection import connect
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.api import given
from ingestion_assets_tests.api.given import service
from ingestion_assets_tests.retrieval.given import until

ENOUGH = 30  # answers in each state of the database
ASKED: tuple[dict[str, Any], ...] = (
    {"method": "GET", "url": "/api/search?q=whales"},
    {"method": "GET", "url": "/api/search?q=whales&method=text"},
    {"method": "GET", "url": "/api/search?q=whales&method=vector&source=none"},
    {"method": "POST", "url": "/api/query", "json": {"query": "whales", "answer": True}},
    {"method": "GET", "url": "/api/documents/00000000-0000-0000-0000-000000000000"},
    {"method": "GET", "url": "/health"},
)


class Database:
    """A Postgres of its own, that can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self.start()

    def start(self) -> None:
        running: AbstractContextManager[Any] = embedded_postgres(self._folder)
        self.url: str = self._running.enter_context(running).address

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def own(tmp_path: Path, ollama: Any) -> Iterator[Database]:
    database = Database(tmp_path)
    try:
        migrate(database.url)
        given.store(database.url, ollama.url)
        yield database
    finally:
        database.stop()


class Load:
    """Clients that ask all the time, and what they were told."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.statuses: Counter[int] = Counter()

    async def ask(self, request: dict[str, Any]) -> None:
        while True:
            answer = await self._http.request(**request)
            said = answer.json()
            whole = said.keys() >= {"degraded"} or said.keys() == {"error", "detail"}
            assert whole or request["url"] == "/health", said
            assert answer.status_code != 503 or "Postgres" in answer.text
            self.statuses[answer.status_code] += 1

    async def until(self, *statuses: int) -> None:
        """Wait until each of these has been answered often enough from now on."""
        before = Counter(self.statuses)
        await until(lambda: all((self.statuses - before)[s] >= ENOUGH for s in statuses), 60)


async def _idle(http: httpx.AsyncClient) -> Any:
    """The pools when nothing is in use; those that are still being opened count as in use."""
    with anyio.fail_after(60):
        while True:
            stats = (await http.get("/api/pool/stats")).json()
            busy = [
                stats[pool][of]
                for pool in stats
                for of in ("waiting", "in_flight", "in_use")
                if of in stats[pool]
            ]
            if not any(busy):
                return stats
            await anyio.sleep(0.05)


async def test_postgres_restarted_under_load_costs_answers_and_nothing_else(own, ollama):
    limits: dict[str, Any] = {"api_rate": 1e6, "api_pool_timeout": 0.5, "chat_model": "llama3.2"}
    async with service(own.url, ollama.url, **limits) as http:
        load = Load(http)
        async with anyio.create_task_group() as clients:
            for request in ASKED * 2:
                clients.start_soon(load.ask, request)
            await load.until(200)
            await anyio.to_thread.run_sync(own.stop)
            await load.until(503)
            await anyio.to_thread.run_sync(own.start)
            await load.until(200)
            clients.cancel_scope.cancel()
        assert load.statuses.keys() <= {200, 404, 503}
        assert (await http.get("/health")).json()["database"]["status"] == "up"
        stats = await _idle(http)
        with connect(own.url) as connection:
            opened = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchone()
    assert opened is not None
    assert opened[0] <= stats["database"]["maximum"]
