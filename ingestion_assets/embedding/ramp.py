"""Latencies of the first rounds in, whether the server still has slots to spare out."""

ALIKE = 1.3  # times the shortest latency that the mean may be while no request waits for another
SLACK = 0.1  # of a latency, by which requests of one round may be sent one after another


class Ramp:
    """Tells when the limit may be doubled at once, before any throughput is known.

    Requests that a server computes side by side take equally long; those that wait for each other
    take ever longer. So a round whose requests took about as long as the fastest one so far had
    slots to spare, or just enough of them.

    Attributes:
        pace: seconds in flight per text in the last round without a queue; 0 before there is one.
        over: whether there was a queue, or too little work to tell.
    """

    def __init__(self, now: float) -> None:
        self.pace = 0.0
        self.over = False
        self._shortest = float("inf")
        self._fed = 0  # requests in flight at most
        self._begin(now)

    def sent(self, in_flight: int) -> None:
        """Note how many requests are in flight, the new one included."""
        self._fed = max(self._fed, in_flight)

    def answered(self, texts: int, seconds: float, now: float, limit: int) -> bool:
        """Count an answer; whether it completes a round at this limit without a queue."""
        self._shortest = min(self._shortest, seconds)
        if now - seconds < self._begun:
            return False
        self._count += 1
        self._texts += texts
        self._seconds += seconds
        if self._count < limit:
            return False
        mean = self._seconds / self._count
        self.over = self._fed < limit or mean >= ALIKE * self._shortest
        if self.over:
            return False
        self.pace = self._seconds / self._texts
        self._begin(now - SLACK * mean)
        return True

    def _begin(self, now: float) -> None:
        self._begun = now
        self._fed = 0
        self._count, self._texts, self._seconds = 0, 0, 0.0
