"""The servers of one model, as the worker uses them for a long time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.changes import Text
from ingestion_assets.embedding import Backoff, Endpoints, Ollama
from ingestion_assets.embedding.batch_size import BatchSize
from ingestion_assets.embedding.delivery import Delivery, Embedded, Rejected
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.settings import Settings

Canary: TypeAlias = NDArray[np.float32]  # its vector, of unit length, shape (d,)

_CONNECTIONS, _KEEPALIVE = 10, 5  # of the HTTP pool at least
_ASIDE = 2  # lanes and connections beside those of the requests in flight


def open_servers(settings: Settings, hosts: Sequence[str], deadline: float) -> Endpoints:
    """The servers of the settings; enter them to have them closed.

    Args:
        deadline: seconds without any usable server before they are given up.
    """
    ollamas = [
        Ollama(
            host,
            api_key=settings.ollama_api_key,
            connections=max(_CONNECTIONS, settings.max_in_flight + _ASIDE),
            keepalive=max(_KEEPALIVE, settings.max_in_flight),
            timeout=settings.timeout,
        )
        for host in hosts
    ]
    return Endpoints(
        ollamas,
        workers=settings.workers,
        max_workers=settings.max_in_flight,
        breaker_failures=settings.breaker_failures,
        breaker_seconds=settings.breaker_seconds,
        deadline=deadline,
        auto_pull=settings.auto_pull,
    )


class Embedder:
    """Batches in; vectors, or reasons against them, out. The first batch has the servers proved.

    Args:
        proved: told the canary's vector once they are, before anything is embedded.

    Attributes:
        lanes: batches that should be under way at once, to keep every permit of the servers busy.
    """

    def __init__(
        self, servers: Endpoints, settings: Settings, proved: Callable[[Canary], Awaitable[None]]
    ) -> None:
        self.lanes = servers.max_in_flight + _ASIDE
        self._servers = servers
        self._size = BatchSize(settings.worker_backfill_batch)
        self._delivery = Delivery(
            servers,
            size=self._size,
            retries=settings.batch_retries,
            backoff=Backoff(),
            stats=Stats(),
        )
        self._tell = proved
        self._proving = asyncio.Lock()
        self._proved = False

    @property
    def batch_size(self) -> int:
        """Texts in a batch at most, as the servers bear it."""
        return self._size.size

    async def embed(self, batch: Sequence[Text]) -> AsyncIterator[Embedded | Rejected]:
        """Every text of the batch once, as part of an Embedded or as a Rejected.

        Raises:
            OllamaError: the servers, not a text, are at fault.
        """
        async with self._proving:
            if not self._proved:
                canary = await self._servers.prove()
                if canary is not None:
                    await self._tell(canary)
                    self._proved = True
        async for outcome in self._delivery.embed(batch):
            yield outcome

    async def settle(self) -> None:
        """Have the servers checked whose answers wait for that.

        Raises:
            MixedVectorsError: a server gave texts the vectors of others; those are not stored.
        """
        await self._servers.settle()
