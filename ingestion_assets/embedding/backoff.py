"""How long to wait before the next attempt."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ingestion_assets.errors import OllamaBusyError, OllamaError

FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How to wait between attempts: exponential, with full jitter.

    Attributes:
        sleep: waits for seconds.
        random: a number from 0 to 1.
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def pause(self, failures: int, error: OllamaError) -> float:
        """Seconds to wait after so many failures, the last of which is given."""
        jittered = self.random() * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
        if isinstance(error, OllamaBusyError):
            return max(error.retry_after or 1.0, jittered)
        return jittered
