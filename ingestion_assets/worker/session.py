"""One generation of embeddings, the servers of its model, and the queues that they empty."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace

from ingestion_assets.embedding import Endpoints, Identity
from ingestion_assets.embedding.endpoint import EndpointState
from ingestion_assets.errors import ModelMismatchError, StoreError
from ingestion_assets.metrics import EmbeddingMetrics
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
    """

    url: str
    hosts: Sequence[str]
    settings: Settings
    metrics: EmbeddingMetrics


class Session:
    """Empties the queues of one generation; what is claimed is renewed, and released at the end.

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
    ) -> None:
        self.queues: Sequence[Queue] = ()
        self._listed = listed
        self._generation = generation
        self._servers = servers
        self._embedder = Embedder(servers, place.settings, self._proved)
        self._metrics = place.metrics
        self._manner = manner

    async def refresh(self) -> Sequence[Queue]:
        """Look which queues there are; none if another generation is active by now."""
        found = await self._manner.patience.call(self._listed.of, self._generation)
        self.queues = found or self.queues  # what is in hand of the old ones is to be released
        return found

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
    place: Place, manner: Manner, deadline: float
) -> AsyncIterator[Session | None]:
    """A session of the active generation, or of a first one; none if there is nothing to embed.

    Args:
        deadline: seconds without any usable server before they are given up.

    Raises:
        ModelMismatchError: the servers do not have the generation's model.
        OllamaError: no server can embed with it.
    """
    async with AsyncExitStack() as stack:
        listed = stack.enter_context(closing(Queues(place.url)))
        servers = open_servers(place.settings, place.hosts, deadline)
        await stack.enter_async_context(servers)
        most = place.settings.max_in_flight
        fleet = Fleet(place.url, servers.shares(), most=most, live=manner.waited_for)
        await stack.enter_async_context(fleet)
        served = await _served(place, listed, servers, manner.patience)
        if served is None:
            yield None
            return
        generation, model = served
        canary = await manner.patience.call(listed.canary, generation)
        async with servers.serving(model, canary):
            session = Session(place, listed, generation, servers, manner)
            async with session.holding():
                yield session


async def _served(
    place: Place, listed: Queues, servers: Endpoints, patience: Patience
) -> tuple[Generation, Identity] | None:
    """The generation to serve and its model, as the servers have it."""
    generation = await patience.call(listed.active)
    if generation is not None:
        model = await servers.identify(generation.model)
        _check(generation, model, place.hosts)
        return generation, replace(model, options=generation.options)
    if not await patience.call(listed.anything_to_embed):
        return None
    model = await servers.identify(place.settings.model)
    return await patience.call(listed.open_generation, model), model


def _check(generation: Generation, model: Identity, hosts: Sequence[str]) -> None:
    if (model.digest, model.dimensions) != (generation.digest, generation.dimensions):
        raise ModelMismatchError(
            ", ".join(hosts),
            model.model,
            f"{model.model!r} is {model.digest[:12]} here, but generation"
            f" {generation.generation_id} was made with {generation.digest[:12]}; use a server that"
            " has that one, or embed everything again: ingest run",
        )


async def _release(queue: Queue) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(RELEASE_BUDGET):
            try:
                await asyncio.to_thread(queue.release)
            except StoreError as error:
                logger.warning("%s was not released: %s", queue.name, error)
