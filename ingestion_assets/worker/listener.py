"""LISTEN on a connection of its own: notifications in, wake-ups out."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from ingestion_assets.errors import StoreError
from ingestion_assets.store.notifications import listening
from ingestion_assets.worker.patience import pause

LONGEST_PAUSE = 2.0  # seconds; meanwhile only the sweep finds work

logger = logging.getLogger(__name__)


class Listener:
    """Listens for ever, on a new connection when the old one is lost.

    Args:
        wake: called for every notification, and when what was notified may have been missed.
    """

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._channels: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._failures = 0  # in a row

    def listen_to(self, channels: Iterable[str]) -> None:
        """Listen to these channels from now on, and to no others."""
        if self._channels != (wanted := frozenset(channels)):
            self._channels = wanted
            self._changed.set()

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._changed.wait()
        while True:
            try:
                await self._listen()
            except StoreError as error:
                self._failures += 1
                seconds = pause(self._failures, LONGEST_PAUSE)
                logger.warning("Nobody listens, again in %.1f s: %s", seconds, error)
                await asyncio.sleep(seconds)

    async def _listen(self) -> None:
        """Listen until the channels change."""
        self._changed.clear()
        hearing = asyncio.create_task(self._hear())
        change = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({hearing, change}, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                hearing.result()
        finally:
            hearing.cancel()
            change.cancel()
            await asyncio.gather(hearing, change, return_exceptions=True)

    async def _hear(self) -> None:
        async with listening(self._url, sorted(self._channels)) as notifications:
            self._failures = 0
            logger.info("Listening to %s", ", ".join(sorted(self._channels)))
            self._wake()  # for what was notified while nobody listened
            async for _ in notifications:
                self._wake()
