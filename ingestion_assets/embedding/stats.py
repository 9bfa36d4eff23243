"""Counts and latencies of the requests of one client or one stream."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

WINDOW = 4096  # latest requests that the percentiles are taken over


@dataclass(slots=True)
class Stats:
    """What was sent and what came of it.

    Attributes:
        requests: embedding requests sent.
        texts: texts in them, those of failed requests included.
        embedded: texts answered.
        tokens: tokens of answered texts, as the server counted.
        retries: requests that repeated a failed one.
        altered: texts that were embedded cleaned, or without a GPU, when all else had failed.
        bytes: bytes of the bodies, both ways.
        in_flight: requests under way.
        peak: most requests ever under way at once.
        latencies: seconds of the latest answered requests.
    """

    requests: int = 0
    texts: int = 0
    embedded: int = 0
    tokens: int = 0
    retries: int = 0
    altered: int = 0
    bytes: int = 0
    in_flight: int = 0
    peak: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    @contextmanager
    def request(self, texts: int) -> Iterator[None]:
        """Count a request while it is under way, and its latency if it succeeds."""
        self.requests += 1
        self.texts += texts
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        started = perf_counter()
        try:
            yield
            self.latencies.append(perf_counter() - started)
        finally:
            self.in_flight -= 1

    def percentile(self, q: float) -> float:
        """Seconds within which q per cent of the latest requests were answered; 0 if none was."""
        return float(np.percentile(self.latencies, q)) if self.latencies else 0.0
