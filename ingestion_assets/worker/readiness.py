"""Whether the worker could embed right now, and what is wrong if not."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Self

from ingestion_assets.embedding import Ollama
from ingestion_assets.errors import IngestionError
from ingestion_assets.store.connection import connect
from ingestion_assets.worker.health import Answer

FRESH = 1.0  # seconds that an answer is given again without asking
PATIENCE = 2.0  # seconds for a question
OK = "ok"


class Readiness:
    """Asks the database and the servers of Ollama; use it as an async context manager."""

    def __init__(self, url: str, hosts: Sequence[str], api_key: str | None) -> None:
        self._url = url
        self._ollamas = [
            Ollama(host, api_key=api_key, connections=1, keepalive=1, timeout=PATIENCE)
            for host in hosts
        ]
        self._clients = AsyncExitStack()
        self._asking = asyncio.Lock()
        self._answer: Answer | None = None
        self._asked = 0.0

    async def __aenter__(self) -> Self:
        for ollama in self._ollamas:
            await self._clients.enter_async_context(ollama)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._clients.aclose()

    async def answer(self) -> Answer:
        """200, or 503 if there is no database or no server at all; says what is wrong."""
        async with self._asking:
            if self._answer is None or time.monotonic() - self._asked > FRESH:
                self._answer = await self._ask()
                self._asked = time.monotonic()
            return self._answer

    async def _ask(self) -> Answer:
        database, *servers = await asyncio.gather(
            _said(lambda: asyncio.to_thread(self._database)),
            *(_said(ollama.version) for ollama in self._ollamas),
        )
        ready = database == OK and OK in servers
        urls = (ollama.base_url for ollama in self._ollamas)
        return Answer.json(
            HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
            {
                "ready": ready,
                "database": database,
                "ollama": dict(zip(urls, servers, strict=True)),
            },
        )

    def _database(self) -> None:
        with connect(self._url) as connection:
            connection.execute("SELECT 1")


async def _said(question: Callable[[], Awaitable[object]]) -> str:
    """`ok`, or what went wrong."""
    try:
        async with asyncio.timeout(PATIENCE):
            await question()
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
    except IngestionError as error:
        return str(error)
    return OK
