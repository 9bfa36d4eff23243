"""Outcomes of an endpoint's requests in, whether to send it more out."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

FAILURES = 5
SECONDS = 30.0
REMEMBERED = 20  # latest transitions

logger = logging.getLogger(__name__)


class Phase(StrEnum):
    """What a breaker lets through: everything, nothing, one canary."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Transition:
    """When a breaker went into a phase, in seconds of its life, and why."""

    at: float
    phase: Phase
    cause: str


@dataclass(frozen=True, slots=True)
class BreakerState:
    """A breaker at one moment.

    Attributes:
        failures: in a row, up to now.
        succeeded: outcomes in all.
        failed: outcomes in all.
        opened: how often it opened, canaries that failed included.
        transitions: the latest, oldest first.
    """

    phase: Phase
    failures: int
    succeeded: int
    failed: int
    opened: int
    transitions: tuple[Transition, ...]


class Breaker:
    """Opens after failures in a row; some time later one canary decides whether it closes.

    Outcomes of requests that were under way when it opened are counted, but decide nothing. What
    counts as a failure is the caller's to say: a text that cannot be embedded does not, nor does
    a server that asks to wait.

    Args:
        name: of the endpoint and the model, for the log.
        failures: in a row, that open it.
        seconds: from opening to the canary.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = FAILURES,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._born = self._opened_at = self._counted_at = clock()
        self._phase = Phase.CLOSED
        self._failures = self._succeeded = self._failed = self._opened = 0
        self._transitions: deque[Transition] = deque(maxlen=REMEMBERED)

    @property
    def closed(self) -> bool:
        """Whether requests may be sent."""
        return self._phase is Phase.CLOSED

    @property
    def canary_in(self) -> float:
        """Seconds until a canary may be sent; for an open breaker."""
        return max(self._opened_at + self._seconds - self._clock(), 0.0)

    def succeeded(self) -> None:
        """Count a request that was answered."""
        self._succeeded += 1
        self._failures = 0

    def failed(self, cause: str, *, sent: float | None = None) -> None:
        """Count a failure; enough of them in a row open the breaker.

        Requests that were under way together fail together, of one cause: they are one failure
        in the row, or a single dropped connection would take a busy server out.

        Args:
            sent: when the request was sent, by the breaker's clock; none for a lone one.
        """
        self._failed += 1
        if sent is not None and sent < self._counted_at:
            return
        self._counted_at = self._clock()
        self._failures += 1
        if self.closed and self._failures >= self._limit:
            self._open(f"{self._failures} failures in a row, the last: {cause}")

    def trip(self, cause: str) -> None:
        """Open at once, for a reason that needs no counting."""
        if self.closed:
            self._open(cause)

    def probe(self) -> bool:
        """Whether the caller shall send the canary: one caller, once the time has come."""
        if self._phase is not Phase.OPEN or self.canary_in > 0:
            return False
        self._go(Phase.HALF_OPEN, f"{self._seconds:g} s have passed")
        return True

    def canary_succeeded(self) -> None:
        """Close: the canary was answered."""
        self.succeeded()
        self._go(Phase.CLOSED, "the canary was answered")

    def canary_failed(self, cause: str) -> None:
        """Open again, for as long as before."""
        self._failed += 1
        self._open(f"the canary failed: {cause}")

    def state(self) -> BreakerState:
        """What happened so far."""
        return BreakerState(
            self._phase,
            self._failures,
            self._succeeded,
            self._failed,
            self._opened,
            tuple(self._transitions),
        )

    def _open(self, cause: str) -> None:
        self._opened += 1
        self._opened_at = self._clock()
        self._go(Phase.OPEN, cause)

    def _go(self, phase: Phase, cause: str) -> None:
        self._phase = phase
        self._transitions.append(Transition(self._clock() - self._born, phase, cause))
        level = logging.WARNING if phase is Phase.OPEN else logging.INFO
        logger.log(level, "Breaker of %s is %s: %s", self._name, phase, cause)
