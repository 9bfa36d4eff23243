"""What all processes measured together in, how many requests should be in flight out."""

from dataclasses import dataclass, replace

LEAST = 2.0  # one request is computed, the next one is on its way
ALLOWANCE = 1.25  # times what is computed side by side, so that there is always a next request
WINDOW = 1.0  # seconds that a measurement takes at least
ROUNDS = 2.0  # latencies that it takes at least
FED = 0.5  # of the target that has to be in flight for it to say something
PROBE = 60.0  # seconds between two looks at the latency without a queue
RECOVERY = 1.05  # growth per window of what may be in flight after congestion


@dataclass(frozen=True, slots=True)
class Window:
    """What all processes did since the last measurement.

    Attributes:
        seconds: that answered requests were in flight, added up.
        elapsed: seconds that it took.
        unprobed: seconds since the latency without a queue was last looked at.
    """

    requests: int
    texts: int
    seconds: float
    elapsed: float
    unprobed: float


@dataclass(frozen=True, slots=True)
class Target:
    """Requests in flight that keep a server exactly busy, whoever sends them.

    Requests that wait for each other take longer in proportion, so `lowest`, seconds in flight per
    text without a queue, tells how many are computed side by side. No process can find that out
    alone, as throughput does (`embedding.climb`): what one gains, another one loses.

    Attributes:
        limit: requests in flight.
        ceiling: the most it may be since congestion.
        resume: the limit to go back to after a probe.
        probing: windows that a probe still takes; the first one meets the old queue.
    """

    limit: float
    ceiling: float
    resume: float
    probing: int
    lowest: float

    def after(self, window: Window, most: int) -> "Target | None":
        """The target after a window; none while it is too short to tell.

        Args:
            most: requests that may be in flight whatever was measured.
        """
        latency = window.seconds / window.requests if window.requests else WINDOW
        if not window.requests or window.elapsed < max(WINDOW, ROUNDS * latency):
            return None
        if self.probing:
            return self._probed(window)
        if window.unprobed > PROBE and self.limit > LEAST:
            return replace(self, limit=LEAST, resume=self.limit, probing=2)
        return self._followed(window, most)

    def _probed(self, window: Window) -> "Target":
        if self.probing > 1:
            return replace(self, probing=self.probing - 1)
        pace = window.seconds / window.texts
        return replace(self, limit=max(LEAST, self.resume), probing=0, lowest=pace)

    def _followed(self, window: Window, most: int) -> "Target":
        in_flight = window.seconds / window.elapsed
        ceiling = min(float(most), self.ceiling * RECOVERY)
        if in_flight < FED * self.limit:
            return replace(self, limit=min(self.limit, ceiling), ceiling=ceiling)
        pace = window.seconds / window.texts
        side_by_side = in_flight * min(1.0, self.lowest / pace)
        limit = min(side_by_side * ALLOWANCE + 1, 2 * self.limit, ceiling)
        return replace(
            self,
            limit=max(min(LEAST, most), limit),
            ceiling=ceiling,
            lowest=min(self.lowest, pace),
        )
