"""Calls of the store, again and again while Postgres is away."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ingestion_assets.errors import StoreUnavailableError

FIRST_PAUSE = 0.2  # seconds
LONGEST_PAUSE = 10.0

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


def pause(failures: int, longest: float = LONGEST_PAUSE) -> float:
    """Seconds to wait after so many failures in a row: exponential, with jitter."""
    # Not less than half, because a jitter down to zero would make three attempts one.
    return random.uniform(0.5, 1.0) * min(longest, FIRST_PAUSE * 2.0 ** min(failures, 16))


class Patience:
    """Repeats what fails because Postgres is away.

    Args:
        seconds: after which a failure is raised; none means never.

    Attributes:
        repeated: calls repeated so far.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.repeated = 0
        self._seconds = seconds

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread until it succeeds.

        Raises:
            StoreUnavailableError: Postgres was away for longer than the patience.
        """
        started, failures = time.monotonic(), 0
        while True:
            try:
                return await asyncio.to_thread(function, *args, **kwargs)
            except StoreUnavailableError as error:
                failures += 1
                if self._seconds is not None and time.monotonic() - started > self._seconds:
                    raise
                seconds = pause(failures)
                self.repeated += 1
                logger.warning("Postgres is away, again in %.1f s: %s", seconds, error)
            await asyncio.sleep(seconds)
