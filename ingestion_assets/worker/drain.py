"""A queue in; its texts claimed, embedded and stored until none is left."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.embedding.batches import split
from ingestion_assets.embedding.delivery import Embedded
from ingestion_assets.errors import NoServerError, OllamaError, StoreError
from ingestion_assets.metrics import EmbeddingMetrics
from ingestion_assets.store.ledger import Failed
from ingestion_assets.worker.embedder import Embedder
from ingestion_assets.worker.outbox import Outbox
from ingestion_assets.worker.pace import Pace
from ingestion_assets.worker.patience import Patience
from ingestion_assets.worker.queue import Queue

_PAGE = 4  # batches that one claim brings while much waits

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a queue is drained.

    Attributes:
        live: texts in a batch while little waits.
        backlog: texts in a batch once a claim brought all that it asked for.
        pace: how fast texts may be sent.
        patience: how long Postgres may be away.
        ending: set when nothing more is to be claimed.
        waited_for: somebody waits for the vectors, so they go before those of a backfill.
    """

    live: int
    backlog: int
    pace: Pace
    patience: Patience
    ending: asyncio.Event
    waited_for: bool


class Drain:
    """One go at a queue, from the first claim to an empty one; run it once."""

    def __init__(
        self, queue: Queue, embedder: Embedder, manner: Manner, metrics: EmbeddingMetrics
    ) -> None:
        self._queue = queue
        self._embedder = embedder
        self._manner = manner
        self._metrics = metrics
        self._call = manner.patience.call
        self._batches = self._claimed()
        self._outbox = Outbox(self._store, metrics.duration.labels(queue.name).observe)
        self._turn = asyncio.Lock()
        self._broken: OllamaError | StoreError | None = None

    async def run(self) -> None:
        """Embed until nothing is left, or nothing more is to be claimed.

        Raises:
            OllamaError: the servers are at fault; what they failed at is written down, unless
                there was none at all.
            StoreError: Postgres refuses, or was away for longer than the patience.
        """
        repeated = self._manner.patience.repeated
        await self._embed_and_store()
        # Of a claim whose answer was lost with the connection nobody would know otherwise.
        if self._broken is not None or self._manner.patience.repeated > repeated:
            await self._call(self._queue.release)
        if self._broken is not None:
            raise self._broken

    async def _embed_and_store(self) -> None:
        async with asyncio.TaskGroup() as group, aclosing(self._batches):
            group.create_task(self._store_all())
            async with asyncio.TaskGroup() as lanes:
                for _ in range(self._embedder.lanes):
                    lanes.create_task(self._lane())
            try:
                await self._embedder.settle()
            except OllamaError as error:
                self._broken = error
            self._outbox.close()

    async def _lane(self) -> None:
        try:
            while batch := await self._next():
                await self._embed(batch)
        except (OllamaError, StoreError) as error:
            # The other lanes finish what they have in hand: it may be sound.
            self._broken = error

    async def _store_all(self) -> None:
        try:
            await self._outbox.run()
        except StoreError as error:
            self._broken = error

    async def _next(self) -> list[Text] | None:
        async with self._turn:
            await self._outbox.room.wait()
            if self._broken is not None or self._manner.ending.is_set():
                return None
            return await anext(self._batches, None)

    async def _claimed(self) -> AsyncGenerator[list[Text], None]:
        """Batches, small ones until a claim shows that more waits than one of them holds."""
        size = limit = self._manner.live
        while page := await self._call(self._queue.claim, limit):
            for batch in split(page, min(size, self._embedder.batch_size)):
                await self._manner.pace.wait(len(batch))
                yield batch
            if len(page) == limit:
                size = self._manner.backlog
                limit = _PAGE * size

    async def _embed(self, batch: Sequence[Text]) -> None:
        started = perf_counter()
        left = {text.chunk_id: text for text in batch}
        try:
            async for outcome in self._embedder.embed(batch):
                if isinstance(outcome, Embedded):
                    self._outbox.put(outcome, started)
                    for text in outcome.texts:
                        del left[text.chunk_id]
                else:
                    await self._fail([Failed.of(outcome.text, outcome.error)])
                    del left[outcome.text.chunk_id]
        except NoServerError:
            raise  # it says nothing about these texts: they are released
        except OllamaError as error:
            await self._fail([Failed.of(text, error) for text in left.values()])
            raise

    async def _store(self, vectors: Vectors) -> None:
        stored = await self._call(self._queue.complete, vectors)
        self._metrics.embedded.labels(self._queue.name).inc(stored)

    async def _fail(self, failures: Sequence[Failed]) -> None:
        await self._call(self._queue.fail, failures)
        for failure in failures:
            self._metrics.errors.labels(self._queue.name, failure.error_class).inc()
            logger.warning(
                "%s of %s failed: %s",
                failure.chunk_id,
                self._queue.name,
                failure.message,
                extra={"chunk": failure.chunk_id},
            )
