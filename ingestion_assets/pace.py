"""How long things took, and how that went over time; in memory that does not grow with them."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from math import floor, log
from typing import Any, TypeVar

T = TypeVar("T")

POINTS = 120  # of a timeline at most: what a plot, or a line of a terminal, can show

_STEP = 1.02  # between two sizes: percentiles are 1 % off at most
_SHORTEST = 1e-6  # seconds that are told from none
_WIDTH = 0.125  # seconds of a timeline's intervals at first


class Latencies:
    """Any number of durations, counted by size, so that those of several runs can be added up."""

    def __init__(self, sizes: Mapping[str, int] | None = None, seconds: float = 0.0) -> None:
        self._sizes = Counter({int(size): n for size, n in (sizes or {}).items()})
        self._seconds = seconds

    def __len__(self) -> int:
        return self._sizes.total()

    @property
    def mean(self) -> float:
        """Seconds; 0 if there is none."""
        return self._seconds / len(self) if self._sizes else 0.0

    def percentile(self, q: float) -> float:
        """Seconds that q per cent do not exceed; 0 if there is none."""
        left = q / 100 * len(self)
        for size in sorted(self._sizes):
            left -= self._sizes[size]
            if left <= 0:
                return float(_STEP ** (size + 0.5))
        return 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self._sizes[floor(log(max(seconds, _SHORTEST), _STEP))] += 1
        self._seconds += seconds

    def update(self, others: "Latencies") -> None:
        """Count others as well."""
        self._sizes.update(others._sizes)
        self._seconds += others._seconds

    def timed(self, steps: Iterable[T]) -> Iterator[T]:
        """Count for each step how long it was in the making, and then in use."""
        started = time.perf_counter()
        for step in steps:
            yield step
            now = time.perf_counter()
            self.add(now - started)
            started = now

    def data(self) -> dict[str, Any]:
        """The arguments to make it again, as JSON has them."""
        sizes = {str(size): self._sizes[size] for size in sorted(self._sizes)}
        return {"sizes": sizes, "seconds": round(self._seconds, 6)}


class Timeline:
    """What was done, and how much was under way, in equal intervals from a beginning on.

    When the last interval is over, all are joined by twos: there are never more than POINTS.

    Attributes:
        done: done in each interval.
        busy: seconds of work in each interval: of ten things under way all the time, ten times
            its width.
        width: seconds of an interval.
    """

    def __init__(self) -> None:
        self.done: list[float] = []
        self.busy: list[float] = []
        self.width = _WIDTH

    @property
    def rates(self) -> list[float]:
        """Done a second, in each interval."""
        return [done / self.width for done in self.done]

    @property
    def concurrency(self) -> list[float]:
        """Under way on average, in each interval."""
        return [busy / self.width for busy in self.busy]

    def add(self, begin: float, end: float, done: float, busy: float | None = None) -> None:
        """Spread a piece of work evenly over the time it took.

        Args:
            begin: seconds since the beginning of all; so is `end`.
            busy: seconds of work; those that it took, if that was one thing.
        """
        end = max(end, begin + _SHORTEST)
        while end > POINTS * self.width:
            self._join()
        first, last = (min(int(at / self.width), POINTS - 1) for at in (begin, end))
        missing = [0.0] * (last + 1 - len(self.done))
        self.done += missing
        self.busy += missing
        for i in range(first, last + 1):
            share = min(end, (i + 1) * self.width) - max(begin, i * self.width)
            share = max(share, 0.0) / (end - begin)
            self.done[i] += share * done
            self.busy[i] += share * (end - begin if busy is None else busy)

    def add_all(self, later: float, data: Mapping[str, Any]) -> None:
        """Add what another one's `data` gave, which began some seconds later."""
        width = data["width"]
        for i, (done, busy) in enumerate(zip(data["done"], data["busy"], strict=True)):
            begin = later + i * width
            self.add(begin, begin + width, done, busy)

    def data(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "width": self.width,
            "done": [round(done, 2) for done in self.done],
            "busy": [round(busy, 3) for busy in self.busy],
        }

    def _join(self) -> None:
        self.width *= 2
        self.done, self.busy = (
            [sum(pair) for pair in zip_longest(row[::2], row[1::2], fillvalue=0.0)]
            for row in (self.done, self.busy)
        )
