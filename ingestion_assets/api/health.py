"""Whether the database and Ollama answer, asked at most once a second."""

import asyncio
import time

from psycopg.rows import class_row

from ingestion_assets import __version__
from ingestion_assets.api.schemas import (
    DatabaseHealth,
    GenerationHealth,
    Health,
    OllamaHealth,
)
from ingestion_assets.errors import OllamaError, StoreError
from ingestion_assets.retrieval.server import ServerState
from ingestion_assets.retrieval.servers import Servers
from ingestion_assets.store.pool import Pool, borrowed

PATIENCE = 2.0  # seconds; a health check that hangs is no health check
FRESH = 1.0  # seconds that a finding is kept
_ACTIVE = """
SELECT generation_id, model, dimensions FROM ingestion.generations WHERE status = 'active'
"""


class Prober:
    """Finds out how the service is; callers at the same time share one look."""

    def __init__(self, pool: Pool, servers: Servers) -> None:
        self._pool = pool
        self._servers = servers
        self._looking = asyncio.Lock()
        self._found: Health | None = None
        self._found_at = 0.0

    async def health(self) -> Health:
        """How everything is: unhealthy without the database, degraded without all of Ollama."""
        async with self._looking:
            if self._found is None or time.monotonic() - self._found_at > FRESH:
                self._found = await self._look()
                self._found_at = time.monotonic()
            return self._found

    async def _look(self) -> Health:
        (database, generation), ollama = await asyncio.gather(self._database(), self._ollama())
        whole = generation is not None and all(
            server.status == "up" and server.breaker == "closed" for server in ollama
        )
        return Health(
            status="unhealthy" if database.status == "down" else "healthy" if whole else "degraded",
            version=__version__,
            database=database,
            ollama=ollama,
            generation=generation,
        )

    async def _database(self) -> tuple[DatabaseHealth, GenerationHealth | None]:
        try:
            async with asyncio.timeout(PATIENCE):
                generation = await self._active()
        except StoreError as error:
            return DatabaseHealth(status="down", detail=str(error)), None
        except TimeoutError:
            return DatabaseHealth(status="down", detail=f"no answer in {PATIENCE:g} s"), None
        return DatabaseHealth(status="up"), generation

    async def _active(self) -> GenerationHealth | None:
        async with borrowed(self._pool) as connection:
            cursor = connection.cursor(row_factory=class_row(GenerationHealth))
            return await (await cursor.execute(_ACTIVE)).fetchone()

    async def _ollama(self) -> list[OllamaHealth]:
        said = await self._servers.versions(PATIENCE)
        return [
            _told(state, version)
            for state, version in zip(self._servers.states(), said, strict=True)
        ]


def _told(state: ServerState, version: str | OllamaError) -> OllamaHealth:
    up = isinstance(version, str)
    latest = state.breaker.transitions[-1].cause if state.breaker.transitions else ""
    closed = state.breaker.phase == "closed"
    return OllamaHealth(
        url=state.url,
        status="up" if up else "down",
        breaker=state.breaker.phase.value,
        detail=("" if closed else latest) if up else str(version),
    )
