"""Counts and latencies of the requests of one client or one stream."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from ingestion_assets.pace import Latencies, Timeline


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
        latencies: of the answered requests.
        course: texts answered and requests under way, over time.
        began: when that time began, as perf_counter tells it.
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
    latencies: Latencies = field(default_factory=Latencies)
    course: Timeline = field(default_factory=Timeline)
    began: float = field(default_factory=perf_counter)

    @contextmanager
    def request(self, texts: int) -> Iterator[None]:
        """Count a request while it is under way, and its latency if it succeeds."""
        self.requests += 1
        self.texts += texts
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        started, answered = perf_counter(), 0
        try:
            yield
            self.latencies.add(perf_counter() - started)
            answered = texts
        finally:
            self.in_flight -= 1
            self.course.add(started - self.began, perf_counter() - self.began, answered)
