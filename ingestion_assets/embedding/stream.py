"""Pages of texts in, vectors in batches for the store out: the embedding pipeline."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from time import perf_counter, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.batch_size import BatchSize
from ingestion_assets.embedding.batches import Pages, batches
from ingestion_assets.embedding.delivery import Delivery, Embedded, Rejected, nothing
from ingestion_assets.embedding.endpoint import EndpointState
from ingestion_assets.embedding.endpoints import Endpoints
from ingestion_assets.embedding.identity import Identity
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.shelf import Shelf
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.errors import MixedVectorsError

GRACE = 10.0  # seconds that requests in flight are given to end after another one failed


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of a stream, at the end or so far.

    Attributes:
        texts_sent: texts in all requests, repeated ones included.
        texts_embedded: texts whose vectors were yielded or are about to be.
        rejected: texts that cannot be embedded.
        altered: texts embedded without control characters, or without a GPU, in the end.
        deferred: texts left out because a twin was under way.
        retries: requests repeated after a failure in passing.
        tokens: as the server counted them.
        bytes: of requests and answers, canaries included.
        mean_ms: latency of the answered requests; p50_ms their median.
        started: when the first page was asked for, in seconds since 1970.
        seconds: since then.
        concurrency: most requests in flight at once.
        rate_limit_hits: requests answered with 429 or 503.
        batch_size: texts per request at most, as adapted.
        endpoints: the servers, since their pool was made; canaries included.
        latencies: of the answered requests, as Latencies has them.
        course: texts answered and requests under way, as Timeline has them.
    """

    texts_sent: int
    texts_embedded: int
    rejected: int
    altered: int
    deferred: int
    requests: int
    retries: int
    tokens: int
    bytes: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    started: float
    seconds: float
    concurrency: int
    rate_limit_hits: int
    batch_size: int
    endpoints: list[EndpointState]
    latencies: dict[str, Any]
    course: dict[str, Any]


class EmbeddingStream:
    """Vectors of all texts, as an asynchronous iterator of store-sized batches; iterate it once.

    Between two batches requests go on, up to about one batch ahead of the consumer. Whatever ends
    the stream, no task of it is left. If a server or the pages fail, everything embedded before is
    yielded first, and then the error is raised. A consumer that stops early closes the iterator
    (`contextlib.aclosing`). Texts that were rejected are to be taken after each batch, and once
    more at the end, whatever the end was; a batch may hold nothing if there are only those.

    Args:
        pool: open servers, or a single one's client.
        model: as the servers identified it; proved once there is a first text to embed.
        pages: returns the next page of texts each time, an empty one at the end. Called in a
            thread, a page ahead, so it has to keep its own place.
        workers: requests in flight at most, where a single client is given.
        batch_size: texts per request at most.
        retries: further attempts for a request that fails while others pass.
        backoff: how to wait between them.
        grace: seconds that requests in flight are given to end after another one failed.

    Attributes:
        canary: the canary's vector in an earlier run, to be set before the first batch is asked
            for; with the first batch, what it is now. None if it is not known.
        rejected: texts that cannot be embedded, and were not taken yet.
    """

    def __init__(
        self,
        pool: Endpoints | Ollama,
        model: Identity,
        pages: Pages,
        *,
        workers: int = 4,
        batch_size: int = 32,
        retries: int = 4,
        backoff: Backoff | None = None,
        grace: float = GRACE,
    ) -> None:
        self.canary: NDArray[np.float32] | None = None
        self.rejected: list[Rejected] = []
        if isinstance(pool, Ollama):
            pool = Endpoints([pool], workers=workers, max_workers=workers)
        self._pool, self._model, self._proved = pool, model, False
        self._stats = Stats()
        self._size = BatchSize(batch_size)
        self._delivery = Delivery(
            pool,
            size=self._size,
            retries=retries,
            backoff=backoff or Backoff(),
            stats=self._stats,
        )
        self._batches = batches(pages, self._admit, size=lambda: self._size.size)
        # Twice as many lanes as permits: while one lane backs off or prepares, another sends.
        self._lanes = 2 * pool.max_in_flight
        self._grace = grace
        self._shelf = Shelf(model.dimensions)
        self._turn = asyncio.Lock()
        self._stopping = False
        self._flying: set[bytes] = set()
        self._embedded = self._held = self._rejected = 0
        self._deferred = 0
        self._started = self._ended = self._since = 0.0

    @property
    def metrics(self) -> Metrics:
        """The figures so far."""
        stats, endpoints = self._stats, self._pool.states()
        return Metrics(
            texts_sent=stats.texts,
            texts_embedded=self._embedded,
            rejected=self._rejected,
            altered=stats.altered,
            deferred=self._deferred,
            requests=stats.requests,
            retries=stats.retries,
            tokens=stats.tokens,
            bytes=sum(endpoint.bytes for endpoint in endpoints),
            mean_ms=1e3 * stats.latencies.mean,
            p50_ms=1e3 * stats.latencies.percentile(50),
            p95_ms=1e3 * stats.latencies.percentile(95),
            started=self._since,
            seconds=(self._ended or perf_counter()) - self._started if self._started else 0.0,
            concurrency=stats.peak,
            rate_limit_hits=sum(endpoint.rate_limit_hits for endpoint in endpoints),
            batch_size=self._size.size,
            endpoints=endpoints,
            latencies=stats.latencies.data(),
            course=stats.course.data(),
        )

    @property
    def deferred(self) -> int:
        """Texts left out because the same content was under way; the caller copies the vector."""
        return self._deferred

    def take_rejected(self) -> list[Rejected]:
        """Texts that cannot be embedded, since it was last asked; to be written down."""
        taken, self.rejected = self.rejected, []
        return taken

    async def __aiter__(self) -> AsyncGenerator[Vectors, None]:
        """Yield the vectors; a batch counts as committed when the next one is asked for."""
        self._started = self._stats.began = perf_counter()
        self._since = time()
        work = asyncio.create_task(self._work())
        try:
            async for vectors in self._shelf.loads():
                yield vectors
                self._flying.difference_update(vectors.hashes)
                del vectors  # or it would be alive while the next ones are gathered
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            self._ended = perf_counter()

    def _admit(self, text: Text) -> bool:
        if text.content_hash in self._flying:
            self._deferred += 1
            return False
        self._flying.add(text.content_hash)
        return True

    async def _work(self) -> None:
        """Run the lanes to the end of the pages, or to the first failure, which is raised."""
        async with self._pool.serving(self._model, self.canary):
            await self._run_lanes()

    async def _run_lanes(self) -> None:
        lanes = [asyncio.create_task(self._lane()) for _ in range(self._lanes)]
        try:
            done, others = await asyncio.wait(lanes, return_when=asyncio.FIRST_EXCEPTION)
            self._stopping = True
            if others:
                await asyncio.wait(others, timeout=self._grace)
            mixed = await self._settled()
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
            await self._batches.aclose()
            self._embedded -= self._held
            self._shelf.close()
        for lane in done:
            lane.result()
        if mixed:
            raise mixed

    async def _settled(self) -> MixedVectorsError | None:
        """Have let go what waits for its server to be checked; the error if it must not be."""
        try:
            await self._pool.settle()
        except MixedVectorsError as error:
            return error
        return None

    async def _lane(self) -> None:
        while True:
            await self._shelf.room.wait()
            async with self._turn:
                batch = None if self._stopping else await anext(self._batches, None)
                if batch and not self._proved:
                    self.canary = await self._pool.prove()
                    self._proved = True
            if batch is None:
                self._shelf.hurry()
                return
            async for outcome in self._delivery.embed(batch):
                self._keep(outcome)

    def _keep(self, outcome: Embedded | Rejected) -> None:
        if isinstance(outcome, Embedded):
            self._embedded += len(outcome.texts)
            self._held += len(outcome.texts)
            outcome.probation.hold(partial(self._let_go, outcome))
            return
        # Its hash stays among those under way: a twin would only be rejected too.
        self._rejected += 1
        self.rejected.append(outcome)
        self._shelf.put(nothing(self._model.dimensions))  # has it taken soon, whatever else comes

    def _let_go(self, embedded: Embedded) -> None:
        self._held -= len(embedded.texts)
        self._shelf.put(embedded)
