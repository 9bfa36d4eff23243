"""Throughput at one limit in, the next limit to try out."""

from ingestion_assets.embedding.epoch import Throughput

GAIN = 1.03  # times the throughput that a higher limit has to bring
LOSS = 0.96  # times the throughput that a lower limit may leave
CHANGED = 1.5  # times the throughput, up or down, that tells of another capacity
LOW_LATENCY = 1.3  # times the lowest latency per text; beyond it, requests queue
HIGH_LATENCY_FACTOR = 0.9
STEP = 1.25
PATIENCE = 8  # epochs between two trials, once settled
LEAST = 2  # one request computes, the next one is on its way


class Climb:
    """Finds the lowest limit with the full throughput, and follows it when the server changes.

    Every change of the limit is a trial: it lasts an epoch and is taken back unless throughput
    agrees. Latency only says which trial is worth while: a higher limit while latency is low
    (twice as high as long as that pays), 0.9 of it while latency is high (less once that proved
    right). A settled climb tries ever more seldom, a change of throughput wakes it up.

    Args:
        lowest: latency per text without a queue, in seconds; 0 if that is not known.

    Attributes:
        limit: requests in flight to measure next.
    """

    def __init__(self, start: int, maximum: int, lowest: float = 0.0) -> None:
        self.limit = start
        self._maximum = maximum
        self._refused = maximum + 1  # the limit that met congestion last
        self._least = min(LEAST, maximum)
        self._home = start  # the limit that a failed trial goes back to
        self._rate = 0.0  # texts/s at home; 0 while unknown
        self._pace = 0.0
        self._lowest = lowest
        self._ramping = True
        self._confirming = False
        self._patience = self._waited = 0

    def measured(self, found: Throughput) -> None:
        """Take the result of an epoch at `limit` in, and set the next limit."""
        if self.limit == self._home:
            self._hold(found)
        elif self._worth(found.rate):
            self._accept(found)
        else:
            self._take_back()

    def back_off(self, factor: float) -> None:
        """Lower the limit at once; the present one is not tried again for a while."""
        self._refused = max(2, self.limit)
        self.limit = self._home = max(1, int(self.limit * factor))
        self._rate = 0.0
        self._patience = self._waited = 0
        self._ramping = self._confirming = False

    def _hold(self, found: Throughput) -> None:
        if not self._rate:
            self._settle(found)
            return
        if not self._rate / CHANGED <= found.rate <= self._rate * CHANGED:
            self._rate = 0.0  # the next epoch is the first one that is wholly after the change
            return
        self._waited += 1
        self._rate += (found.rate - self._rate) / 2
        self._pace = found.pace
        self._lowest = min(self._lowest, found.pace)
        if self._waited >= self._patience:
            self._try()

    def _worth(self, rate: float) -> bool:
        return rate >= self._rate * (GAIN if self.limit > self._home else LOSS)

    def _accept(self, found: Throughput) -> None:
        if self.limit > self._home:
            gain, step = found.rate / self._rate, self.limit / self._home
            self._ramping = gain - 1 > (step - 1) / 2
            self._lowest = self._lowest or self._pace
            if self.limit >= self._refused:
                self._refused = self._maximum + 1
        elif not self._confirming:  # noise must not cost throughput
            self._confirming = True
            return
        self._settle(found)

    def _settle(self, found: Throughput) -> None:
        queued = self.limit < self._home  # and the queue is shorter now, with nothing lost
        self._home = self.limit
        self._rate, self._pace = found.rate, found.pace
        self._lowest = min(self._lowest, found.pace)
        self._confirming = False
        self._patience = self._waited = 0
        self._try(steep=queued)

    def _take_back(self) -> None:
        if self.limit < self._home:  # the latency may be the server's own
            self._lowest = min(self._pace, self._lowest * CHANGED) or self._pace
        self._confirming = self._ramping = False
        self.limit = self._home
        self._waited = 0
        self._patience = min(PATIENCE, 2 * self._patience + 1)

    def _try(self, *, steep: bool = False) -> None:
        if self._queues() and self.limit > self._least:
            self._ramping = False
            self.limit = max(self._least, int(self.limit * self._reduction(steep)))
            return
        most = self._maximum if self._waited >= PATIENCE else self._refused - 1
        factor = 2 if self._ramping and self._refused > self._maximum else STEP
        self.limit = min(most, self._maximum, max(self.limit + 1, int(self.limit * factor)))

    def _queues(self) -> bool:
        if not self._lowest:
            return not self._ramping
        return self._pace > self._lowest * LOW_LATENCY

    def _reduction(self, steep: bool) -> float:
        if not steep or not self._lowest:
            return HIGH_LATENCY_FACTOR
        return max(0.5, min(HIGH_LATENCY_FACTOR, LOW_LATENCY * self._lowest / self._pace))
