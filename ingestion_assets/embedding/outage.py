"""When no server answers: since when, why, and until when that is waited for."""

import time

from ingestion_assets.errors import NoServerError, OllamaError


class Outage:
    """The time without any answer, which ends with the first one, or at the deadline.

    Args:
        deadline: seconds.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._since: float | None = None
        self._last: OllamaError | None = None

    @property
    def ends_at(self) -> float | None:
        """When it is given up, by the clock of `time.monotonic`; none if a server answers."""
        return None if self._since is None else self._since + self._deadline

    def failed(self, error: OllamaError) -> None:
        """Take in that a server did not answer."""
        self._last = error
        if self._since is None:
            self._since = time.monotonic()

    def ended(self) -> None:
        """Take in that a server answered, be it that a text is bad."""
        self._since = None

    def check(self, urls: str) -> None:
        """Give up once the deadline has passed.

        Raises:
            NoServerError: it has; with the latest failure.
        """
        if self.ends_at is not None and time.monotonic() >= self.ends_at:
            raise NoServerError(
                urls,
                f"no answer for {self._deadline:g} s (INGEST_DEADLINE), the last: {self._last}",
            ) from self._last
