"""The queues of a session in; how far they are out, as lines of the log."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from ingestion_assets.metrics import EmbeddingMetrics
from ingestion_assets.worker.patience import Patience
from ingestion_assets.worker.session import Session

REPORT = 5.0  # seconds between two lines

logger = logging.getLogger(__name__)


class Progress:
    """What waits and what failed, of all queues together.

    Attributes:
        waiting: texts that have neither a vector nor a failure.
        failed: texts that failed, quarantined or not.
    """

    def __init__(self, session: Session, patience: Patience, metrics: EmbeddingMetrics) -> None:
        self.waiting = self.failed = 0
        self._session = session
        self._metrics = metrics
        self._patience = patience
        self._started = time.monotonic()

    @property
    def is_complete(self) -> bool:
        """Whether everything has its vector."""
        return not self.waiting and not self.failed

    async def look(self) -> None:
        """Count anew."""
        depths = [await self._patience.call(queue.depth) for queue in self._session.queues]
        self.waiting = sum(depth.pending + depth.processing for depth in depths)
        self.failed = sum(depth.failed + depth.quarantined for depth in depths)

    @asynccontextmanager
    async def reported(self) -> AsyncIterator[Self]:
        """A line now and then while it lasts, and one at the end."""
        await self._session.refresh()
        await self.look()
        logger.info("%s", self)
        reporting = asyncio.create_task(self._report())
        try:
            yield self
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
            logger.info("%s", self)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT)
            await self.look()
            logger.info("%s", self)

    def __str__(self) -> str:
        embedded = self._metrics.texts_embedded()
        rate = embedded / max(time.monotonic() - self._started, 1e-3)
        line = f"{embedded:,.0f} embedded, {self.waiting:,} to go, {self.failed:,} failed"
        if not embedded:
            return line
        return f"{line}; {rate:,.0f} a second, {_duration(self.waiting / rate)} left"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
