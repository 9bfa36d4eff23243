"""Notifications in, few wake-ups out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

STORM = 20.0  # notifications a second, above which not every one is answered at once
FIRST_PAUSE = 0.05  # seconds
LONGEST_PAUSE = 0.5  # seconds that a text waits at most for being one of many


class Wakeups:
    """Wakes at once at a single notification, and ever less often in a storm of them.

    Args:
        sweep: seconds after which to wake although nothing was notified, since a notification
            may have been lost.
    """

    def __init__(
        self,
        sweep: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sweep = sweep
        self._clock = clock
        self._sleep = sleep
        self._notified = asyncio.Event()
        self._heard = 0  # notifications since
        self._since = clock()
        self._pause = 0.0

    def notify(self) -> None:
        """There may be work."""
        self._heard += 1
        self._notified.set()

    async def next(self) -> None:
        """Return when it is time to look for work."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._sweep):
                await self._notified.wait()
        await self._sleep(self._linger())
        self._notified.clear()

    def _linger(self) -> float:
        """Seconds in which more notifications may come, to be answered with this one."""
        now = self._clock()
        if self._heard > STORM * (now - self._since):
            self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
        else:
            self._pause = 0.0
        self._heard, self._since = 0, now
        return self._pause
