"""How one endpoint's requests ended in, how many may be in flight out."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from ingestion_assets.embedding.climb import Climb
from ingestion_assets.embedding.epoch import ANSWERS, Epoch
from ingestion_assets.embedding.ramp import Ramp
from ingestion_assets.share import Share

WINDOW = 64  # latest latencies kept
FED = 0.5  # of the limit that has to be in flight for an epoch to say something about it
LONGEST_PAUSE = 600.0  # seconds that a Retry-After is heeded at most


class Congestion(StrEnum):
    """Why a server could not take a request."""

    RATE_LIMITED = "rate limited"
    BUSY = "busy"
    TIMEOUT = "timeout"


BACK_OFF = {Congestion.RATE_LIMITED: 0.7, Congestion.BUSY: 0.5, Congestion.TIMEOUT: 0.5}


@dataclass(frozen=True, slots=True)
class LimiterState:
    """Figures of a limiter.

    Attributes:
        limit: requests that may be in flight now.
        highest: the highest limit so far.
        backoffs: times that congestion lowered the limit.
        rate: texts a second in the last epoch; 0 before the first one ends.
        latency: median seconds of the latest requests; 0 before the first one ends.
    """

    limit: int
    in_flight: int
    highest: int
    backoffs: int
    rate: float
    latency: float


class Limiter:
    """Requests in flight that keep one endpoint exactly busy, found without tuning.

    The familiar rate controller, with throughput as its judge: a bounded window of recent
    latencies, growth while latency is low, x0.9 on high latency, x0.7 on a rate limit, half on
    503 and on a timeout. An embedding server computes one text, or one per slot, at a time:
    latency grows with every request that merely queues, with the batch and with the model, so
    alone it says little. Hence every step is a trial over some rounds, and stays only if texts
    per second agree (`Climb`, `Epoch`). Only in the very first rounds the limit doubles without a
    trial, as long as no request waits for another one (`Ramp`).

    A state machine without waiting: the pool asks `has_room`, takes a permit and gives it back
    with the way in which the request ended.

    Args:
        start: requests in flight to begin with; capped by `maximum`.
        maximum: requests in flight at most.
        share: what other processes leave; guided by them all, it decides.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        start: int = 4,
        maximum: int = 8,
        share: Share | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maximum = maximum
        self._share = share or Share()
        self._climb = Climb(max(1, min(start, maximum)), maximum)
        self._clock = clock
        self._ramp = Ramp(clock())
        self._in_flight = 0
        self._excused = 0  # in flight since before the last back-off: no reason for another one
        self._resumes_at: float | None = None
        self._highest = self._climb.limit
        self._backoffs = 0
        self._rate = 0.0
        self._latencies: deque[float] = deque(maxlen=WINDOW)
        self._begin()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        granted = self._share.granted
        return granted if self._share.guided else min(self._climb.limit, granted)

    @property
    def in_flight(self) -> int:
        """Permits taken."""
        return self._in_flight

    def has_room(self) -> bool:
        """Whether one more request may be sent now; if others leave too little, more is wanted."""
        if self.resumes_at() is not None:
            return False
        if self._in_flight < self.limit:
            return True
        self._share.want(self._maximum if self._share.guided else self._climb.limit)
        return False

    def resumes_at(self) -> float | None:
        """When a pause that the server asked for ends, by the clock; none if there is none."""
        if self._resumes_at is not None and self._clock() >= self._resumes_at:
            self._resumes_at = None
        return self._resumes_at

    def take(self) -> None:
        """Count one more request in flight; the caller has checked `has_room`."""
        self._in_flight += 1
        self._ramp.sent(self._in_flight)

    def released(self) -> None:
        """Give a permit back; how its request ended says nothing about the server's load."""
        self._in_flight -= 1
        self._excused = max(0, self._excused - 1)

    def succeeded(self, texts: int, seconds: float) -> None:
        """Give a permit back: its request of n texts was answered after so many seconds."""
        self.released()
        self._latencies.append(seconds)
        if self._share.granted < self._climb.limit or self._share.guided:
            self._begin()  # what is measured now would not be of the climb's limit
        elif self._ramping:
            self._ramp_up(texts, seconds)
        else:
            self._try_out(texts, seconds)

    def congested(self, cause: Congestion, retry_after: float | None = None) -> None:
        """Give a permit back and back off, once for all requests that are in flight together.

        Args:
            cause: how the server refused the request.
            retry_after: seconds for which the server wants no requests at all.
        """
        excused = self._excused > 0
        self.released()
        if retry_after is not None and retry_after > 0:
            until = self._clock() + min(retry_after, LONGEST_PAUSE)
            self._resumes_at = max(until, self._resumes_at or until)
        if excused:
            return
        self._share.congested(BACK_OFF[cause])
        self._ramp.over = True
        self._climb.back_off(BACK_OFF[cause])
        self._backoffs += 1
        self._excused = self._in_flight
        self._begin()

    def state(self) -> LimiterState:
        """The figures at this moment."""
        return LimiterState(
            limit=self.limit,
            in_flight=self._in_flight,
            highest=self._highest,
            backoffs=self._backoffs,
            rate=self._rate,
            latency=median(self._latencies) if self._latencies else 0.0,
        )

    @property
    def _ramping(self) -> bool:
        return not self._ramp.over and self._climb.limit < self._maximum

    def _ramp_up(self, texts: int, seconds: float) -> None:
        ramp, limit = self._ramp, self._climb.limit
        if ramp.answered(texts, seconds, self._clock(), limit):
            self._restart(min(2 * limit, self._maximum))
        elif ramp.over and ramp.pace:  # the half had no queue, all of it has one
            self._restart(3 * limit // 4)
        elif ramp.over:
            self._begin(settled=True)

    def _restart(self, limit: int) -> None:
        """Go on at a limit; latency without a queue is known, throughput is not."""
        self._climb = Climb(limit, self._maximum, self._ramp.pace)
        self._highest = max(self._highest, limit)
        self._begin()

    def _try_out(self, texts: int, seconds: float) -> None:
        found = self._epoch.answered(texts, seconds, self._clock())
        if found is None:
            return
        self._rate = found.rate
        limit = self._climb.limit
        if found.in_flight >= limit * FED:
            self._climb.measured(found)
            self._highest = max(self._highest, self._climb.limit)
        self._begin(settled=self._climb.limit == limit)

    def _begin(self, *, settled: bool = False) -> None:
        self._epoch = Epoch(self._clock(), max(ANSWERS, self._climb.limit), settled=settled)
