"""A rate limit in, when to go on out."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pace:
    """Lets so many texts a second pass, without a burst after a break.

    Args:
        rate: texts a second; 0 for no limit.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0

    async def wait(self, texts: int) -> None:
        """Return when so many texts more may be sent."""
        if not self._rate:
            return
        now = self._clock()
        start = max(now, self._next)
        self._next = start + texts / self._rate
        await self._sleep(start - now)
