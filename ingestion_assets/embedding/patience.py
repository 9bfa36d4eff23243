"""How long a server took in, how long it may take out."""

import time
from collections.abc import Callable

SHORTEST = 30.0  # seconds
LONGEST = 600.0
SLACK = 4  # times what an answer is expected to take
SMOOTHING = 0.2  # weight of the latest request in the pace


class Patience:
    """Seconds without a byte before a request is given up.

    They follow the server's pace. After a timeout they double and do not shrink, since a request
    that is given up has lost all its work, until something is answered. If that comes while the
    request is still waited for, the text is to blame for its timeout, and nothing doubles.

    Args:
        usual: until there is an expectation, and never more than it but after a timeout.
    """

    def __init__(self, usual: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._usual = usual
        self._clock = clock
        self._pace = 0.0
        self._stretch = 1.0
        self._answered_at = float("-inf")

    @property
    def pace(self) -> float:
        """Seconds a text takes, all requests in flight taken together; 0 if unknown."""
        return self._pace

    @property
    def stretch(self) -> float:
        """Times the usual patience, after timeouts."""
        return self._stretch

    def seconds(self, texts: int) -> float:
        """For a request, with so many texts under way in all."""
        usual = self._usual
        if self._pace:
            usual = min(max(SLACK * self._pace * texts, SHORTEST), usual)
        return min(usual * self._stretch, max(self._usual, LONGEST))

    def answered(self, texts: int, seconds: float) -> None:
        """Take in an answer that took so long while so many texts were under way in all."""
        self.calm()
        pace = seconds / texts
        self._pace += (SMOOTHING if self._pace else 1.0) * (pace - self._pace)

    def timed_out(self, stretch: float, sent: float) -> None:
        """Take in a timeout: the stretch there was when its request was sent, and the time."""
        # Of requests that were in flight together, all time out: that is one lesson.
        if sent > self._answered_at:
            self._stretch = max(self._stretch, 2 * stretch)

    def calm(self) -> None:
        """Take in that something was answered in time."""
        self._answered_at = self._clock()
        self._stretch = 1.0
