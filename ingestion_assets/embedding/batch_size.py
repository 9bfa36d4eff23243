"""How requests of texts ended in, how many texts the next one should hold out."""

LEAST = 8  # texts; below it the fixed cost of a request outweighs what a failure loses
SLOW = 5.0  # seconds beyond which a request loses too much work if it fails
QUICK = 2.0  # seconds below which twice the texts are still not slow
PATIENCE = 8  # quick requests before the size grows
LONGEST_PATIENCE = 512


class BatchSize:
    """Texts per request: as many as are answered within some seconds, and as do not break it.

    It starts at the maximum, because a list removes the fixed cost of a request and costs a fast
    server nothing. It halves when a request is slow, or when two in a row broke, and doubles again
    after a while of quick ones; what broke once is tried again ever later.

    Args:
        maximum: texts per request at most.
    """

    def __init__(self, maximum: int = 32) -> None:
        self._size = self._maximum = maximum
        self._least = min(LEAST, maximum)
        self._quick = 0
        self._failures = 0
        self._patience = PATIENCE

    @property
    def size(self) -> int:
        """Texts that the next request should hold at most."""
        return self._size

    def succeeded(self, texts: int, seconds: float) -> None:
        """Take in that a request of n texts was answered after so many seconds."""
        self._failures = 0
        if texts > self._size:  # sent before the size was lowered
            return
        if seconds > SLOW:
            self._halve()
        elif texts == self._size and seconds < QUICK:
            self._quick += 1
            if self._quick >= self._patience:
                self._quick = 0
                self._size = min(self._maximum, 2 * self._size)

    def failed(self) -> None:
        """Take in a timeout, memory run out, or a runner that could not be reached."""
        self._failures += 1
        if self._failures == 2:
            self._failures = 0
            self._patience = min(LONGEST_PATIENCE, 2 * self._patience)
            self._halve()

    def _halve(self) -> None:
        self._quick = 0
        self._size = max(self._least, self._size // 2)
