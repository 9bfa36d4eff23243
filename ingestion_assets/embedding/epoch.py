"""Answered requests in, the throughput at one limit out."""

from dataclasses import dataclass

ANSWERS = 8  # that an epoch takes at least


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a server did in an epoch.

    Attributes:
        rate: texts a second.
        pace: seconds in flight per text, the latency of a request shared among its texts.
        in_flight: requests in flight, on average.
    """

    rate: float
    pace: float
    in_flight: float


class Epoch:
    """Measures throughput at one limit, over whole rounds.

    A round ends when a request sent after its beginning is answered: by then every permit went
    round about once, so it does not matter that many slots answer in bursts. The first round is
    not counted unless the limit is `settled`: its requests still met the queue that another limit
    left behind.
    """

    def __init__(self, now: float, answers: int = ANSWERS, *, settled: bool = False) -> None:
        self._answers = answers
        self._round = now
        self._settled = now if settled else None
        self._restart()

    def _restart(self) -> None:
        self._count, self._texts, self._seconds = 0, 0, 0.0

    def answered(self, texts: int, seconds: float, now: float) -> Throughput | None:
        """Count an answer; the epoch's throughput if it was the last one of the epoch."""
        self._count += 1
        self._texts += texts
        self._seconds += seconds
        if now - seconds < self._round or now <= self._round:
            return None
        self._round = now
        if self._settled is None:
            self._settled = now
            self._restart()
        elif self._count >= self._answers:
            elapsed = now - self._settled
            return Throughput(
                self._texts / elapsed, self._seconds / self._texts, self._seconds / elapsed
            )
        return None
