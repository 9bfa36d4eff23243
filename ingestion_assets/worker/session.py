"""One generation of embeddings, the servers of its model, and the queues that they empty."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass

from ingestion_assets.embedding import Endpoints
from ingestion_assets.embedding.endpoint import EndpointState
from ingestion_assets.errors import StoreError
from ingestion_assets.metrics import EmbeddingMetrics
from ingestion_assets.retrieval.recipes import as_made
from ingestion_assets.settings import Settings
from ingestion_assets.store.claims import LEASE
from ingestion_assets.store.fleet import Fleet
from ingestion_assets.store.generations import Generation
from ingestion_assets.worker.drain import Drain, Manner
from ingestion_assets.worker.embedder import Canary, Embedder, open_servers
from ingestion_assets.worker.patience import Patience
from ingestion_assets.worker.queue import Queue
from ingestion_assets.worker.queues import Queues

RENEWALS = 3  # of a lease, before it would end
RELEASE_BUDGET = 2.0  # seconds; what is not released comes back when its lease ends

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the servers are, and what there is to know about using them.

    Attributes:
        url: of the database.
        hosts: of the Ollama servers.
        most: requests in flight to one server at most, of all processes together.
    """

    url: str
    hosts: Sequence[str]
    settings: Settings
    metrics: EmbeddingMetrics
    most: int


class Session:
    """Empties the queues of one generation; what is claimed is renewed, and released at the end.

    Args:
        list_queues: tells the queues that there are at the moment.

    Attributes:
        queues: what there is to empty, as of the latest `refresh`.
    """

    def __init__(
        self,
        place: Place,
        listed: Queues,
        generation: Generation,
        servers: Endpoints,
        manner: Manner,
        list_queues: Callable[[Generation], Sequence[Queue]],
    ) -> None:
        self.queues: Sequence[Queue] = ()
        self._listed = listed
        self._list_queues = list_queues
        self._generation = generation
        self._servers = servers
        self._embedder = Embedder(servers, place.settings, self._proved)
        self._metrics = place.metrics
        self._manner = manner

    async def refresh(self) -> Sequence[Queue]:
        """Look which queues there are; none if another generation is active by now."""
        found = await self._manner.patience.call(self._list_queues, self._generation)
        self.queues = found or self.queues  # what is in hand of the old ones is to be released
        return found

    async def beside(self) -> Sequence[Generation]:
        """The other generations that are to be filled."""
        return await self._manner.patience.call(self._listed.beside, self._generation)

    async def drain(self, queue: Queue) -> None:
        """Empty one queue.

        Raises:
            OllamaError: the servers are at fault.
        """
        await Drain(queue, self._embedder, self._manner, self._metrics).run()

    def close_kept(self) -> None:
        """Close connections of the database that nobody uses.

        Their buffers are as large as the largest commit was.
        """
        self._listed.close()

    def endpoints(self) -> list[EndpointState]:
        """How the servers are."""
        return self._servers.states()

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """While it lasts, leases do not end; afterwards all that is claimed is released."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await asyncio.gather(*(_release(queue) for queue in self.queues))

    async def _proved(self, canary: Canary) -> None:
        await self._manner.patience.call(self._listed.keep_canary, self._generation, canary)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE / RENEWALS)
            for queue in self.queues:
                try:
                    await asyncio.to_thread(queue.renew)
                except StoreError as error:
                    logger.warning("The lease of %s was not renewed: %s", queue.name, error)


@asynccontextmanager
async def open_session(
    place: Place, manner: Manner, deadline: float, other: Generation | None = None
) -> AsyncIterator[Session | None]:
    """A session of the active generation, or of a first one; none if there is nothing to embed.

    Args:
        other: a generation that is not active, to be filled instead.
        deadline: seconds without any usable server before they are given up.

    Raises:
        ModelMismatchError: the servers do not have the generation's model.
        OllamaError: no server can embed with it.
    """
    async with AsyncExitStack() as stack:
        listed = stack.enter_context(closing(Queues(place.url)))
        servers = open_servers(place.settings, place.hosts, deadline)
        await stack.enter_async_context(servers)
        live = manner.waited_for and other is None
        fleet = Fleet(place.url, servers.shares(), most=place.most, live=live)
        await stack.enter_async_context(fleet)
        generation = other or await _searched(place, listed, servers, manner.patience)
        if generation is None:
            yield None
            return
        named = await servers.identify(generation.model)
        model = as_made(named, generation, ", ".join(place.hosts))
        canary = await manner.patience.call(listed.canary, generation)
        async with servers.serving(model, canary):
            list_queues = listed.of_other if other else listed.of
            session = Session(place, listed, generation, servers, manner, list_queues)
            async with session.holding():
                yield session


async def _searched(
    place: Place, listed: Queues, servers: Endpoints, patience: Patience
) -> Generation | None:
    """The generation that search reads; a first one if there is something to embed."""
    generation = await patience.call(listed.active)
    if generation is not None or not await patience.call(listed.anything_to_embed):
        return generation
    model = await servers.identify(place.settings.model)
    return await patience.call(listed.open_generation, model)


async def _release(queue: Queue) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(RELEASE_BUDGET):
            try:
                await asyncio.to_thread(queue.release)
            except StoreError as error:
                logger.warning("%s was not released: %s", queue.name, error)
