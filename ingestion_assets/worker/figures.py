"""What Prometheus reads: the counts so far, and the state of the queues at this moment."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ingestion_assets.embedding.breaker import Phase
from ingestion_assets.errors import StoreError
from ingestion_assets.metrics import EmbeddingMetrics
from ingestion_assets.store.figures import DatabaseFigures
from ingestion_assets.worker.health import Answer
from ingestion_assets.worker.queue import Queue
from ingestion_assets.worker.session import Session

FRESH = 1.0  # seconds that the depth of a queue, which has to be counted, is good for
PATIENCE = 2.0  # seconds for counting it


class Figures:
    """Asks the session under way for what no counter knows, each time that it is read.

    Args:
        session: gives the one under way, if there is one.
        url: of the database.
    """

    def __init__(
        self, metrics: EmbeddingMetrics, session: Callable[[], Session | None], url: str
    ) -> None:
        self._metrics = metrics
        self._database = DatabaseFigures(url)
        metrics.registry.register(self._database)
        self._session = session
        self._asking = asyncio.Lock()
        self._asked = float("-inf")

    async def answer(self) -> Answer:
        """All figures in Prometheus' text format."""
        async with self._asking:
            if time.monotonic() - self._asked > FRESH:
                await asyncio.gather(self._ask(), self._database.refresh())
                self._asked = time.monotonic()
        body = generate_latest(self._metrics.registry)
        return Answer(HTTPStatus.OK, body, CONTENT_TYPE_LATEST)

    async def _ask(self) -> None:
        metrics, session = self._metrics, self._session()
        # What cannot be asked must not be reported as it was.
        for gauge in (metrics.depth, metrics.oldest, metrics.in_flight, metrics.breaker):
            gauge.clear()
        if session is None:
            return
        for endpoint in session.endpoints():
            metrics.in_flight.labels(endpoint.url).set(endpoint.limiter.in_flight)
            for phase in Phase:
                metrics.breaker.labels(endpoint.url, phase).set(phase is endpoint.breaker.phase)
        await asyncio.gather(*(self._count(queue) for queue in session.queues))

    async def _count(self, queue: Queue) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                depth = await asyncio.to_thread(queue.depth)
        except (TimeoutError, StoreError):
            return
        for state in ("pending", "processing", "failed", "quarantined"):
            self._metrics.depth.labels(queue.name, state).set(getattr(depth, state))
        self._metrics.oldest.labels(queue.name).set(depth.oldest_seconds)
