"""Settings in, what the requests share out: one database pool, one set of clients."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from ingestion_assets.api.health import Prober
from ingestion_assets.embedding import Ollama
from ingestion_assets.retrieval.chat import Chat
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.retrieval.servers import Servers
from ingestion_assets.settings import Settings
from ingestion_assets.store.fleet import Fleet
from ingestion_assets.store.pool import Pool, borrowed, open_pool


@dataclass(frozen=True, slots=True)
class Backend:
    """What is open while the service runs."""

    settings: Settings
    pool: Pool
    servers: Servers
    chat: Chat
    searcher: Searcher
    prober: Prober

    async def document(self, document_id: UUID) -> str | None:
        """A document's text as it is stored; none if there is none.

        Raises:
            StoreError: the database does not answer.
        """
        return await self._one(
            "SELECT text FROM ingestion.documents WHERE document_id = %s", document_id
        )

    async def model(self, generation_id: int | None) -> str:
        """The model of a generation; empty if there is none.

        Raises:
            StoreError: the database does not answer.
        """
        return (
            await self._one(
                "SELECT model FROM ingestion.generations WHERE generation_id = %s", generation_id
            )
            or ""
        )

    async def _one(self, query: LiteralString, parameter: object) -> str | None:
        async with borrowed(self.pool) as connection:
            found = await (await connection.execute(query, (parameter,))).fetchone()
        return str(found[0]) if found else None


@asynccontextmanager
async def open_backend(
    settings: Settings, database_url: str, hosts: Sequence[str]
) -> AsyncIterator[Backend]:
    """Open everything, and close it again; neither server has to be up.

    Args:
        hosts: each as in OLLAMA_HOST.
    """
    servers = Servers(
        [_client(settings, host) for host in hosts],
        workers=settings.query_workers,
        timeout=settings.query_timeout,
        breaker_failures=settings.breaker_failures,
        breaker_seconds=settings.breaker_seconds,
    )
    chat = Chat(
        hosts, settings.chat_model, api_key=settings.ollama_api_key, timeout=settings.timeout
    )
    pool = open_pool(
        database_url,
        smallest=settings.api_pool_min,
        largest=settings.api_pool_max,
        timeout=settings.api_pool_timeout,
    )
    fleet = Fleet(database_url, servers.shares(), most=settings.max_in_flight, live=True)
    async with pool, servers, chat, fleet:
        judge = chat if settings.chat_model else None
        searcher = Searcher(
            pool, QueryEmbedder(servers), language=settings.text_language, judge=judge
        )
        yield Backend(settings, pool, servers, chat, searcher, Prober(pool, servers))


def _client(settings: Settings, host: str) -> Ollama:
    return Ollama(
        host,
        api_key=settings.ollama_api_key,
        connections=settings.query_workers + 2,  # the canary, and a health check
        keepalive=settings.query_workers + 2,
        timeout=settings.timeout,
    )
