"""What this process sends to one server in, how much all processes together let it send out."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

UNBOUNDED = 1_000_000


@dataclass(slots=True)
class Tally:
    """What happened to one server's requests in some time.

    Attributes:
        requests: that were answered.
        seconds: that these were in flight, added up.
        wanted: requests that would have been in flight at once, if they were granted.
        backoff: what congestion multiplies the limit with; 1 if there was none.
    """

    requests: int = 0
    texts: int = 0
    seconds: float = 0.0
    wanted: int = 0
    backoff: float = 1.0


class Share:
    """One server's requests in flight; as many as one likes while nobody keeps them in bounds.

    Attributes:
        granted: requests in flight at most.
        guided: others use the server too: what is granted is what is to be used, since throughput
            as seen from here says nothing about the server.
        in_flight: requests.
        starving: set when more is wanted than is granted; whoever grants puts one there.
    """

    def __init__(self) -> None:
        self.granted = UNBOUNDED
        self.guided = False
        self.in_flight = 0
        self.starving = asyncio.Event()
        self._tally = Tally()
        self._unmet = 0  # requests that were wanted when too few were granted
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Have it called whenever more is granted."""
        self._listeners.append(listener)

    def grant(self, granted: int, *, guided: bool = False) -> None:
        """Set how many requests may be in flight; those that are go on."""
        more = granted > self.granted
        self.granted, self.guided = granted, guided
        if more:
            self._unmet = 0  # who wanted them looks again
            self._admit()
            for listener in self._listeners:
                listener()

    def want(self, requests: int) -> None:
        """Say that so many requests would be in flight, if they were granted."""
        self._tally.wanted = max(self._tally.wanted, requests)
        if requests > self.granted:
            self._unmet = requests
            self.starving.set()

    def congested(self, factor: float) -> None:
        """Say that the server could not take what it was sent."""
        self._tally.backoff = min(self._tally.backoff, factor)

    @asynccontextmanager
    async def permit(self, texts: int) -> AsyncIterator[None]:
        """Count a request of n texts in flight as long as the block; wait until it is granted."""
        while self.in_flight >= self.granted:
            await self._wait()
        self.in_flight += 1
        self.want(self.in_flight)
        started = perf_counter()
        try:
            yield
            self._tally.requests += 1
            self._tally.texts += texts
            self._tally.seconds += perf_counter() - started
        finally:
            self.in_flight -= 1
            self._admit()

    def take_tally(self) -> Tally:
        """What happened since it was last asked.

        Who is granted nothing at all has no request whose end would have him ask again: he is told
        when there is more, and wants it until then.
        """
        tally = self._tally
        wanted = self.in_flight + len(self._waiting)
        self._tally = Tally(wanted=wanted if self.granted else max(wanted, self._unmet))
        return tally

    async def _wait(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.want(self.in_flight + len(self._waiting))
        try:
            await turn
        except asyncio.CancelledError:
            self._admit()  # the turn may have come, and is another one's then
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _admit(self) -> None:
        """Let as many go on as may; each looks again whether it is so."""
        for _ in range(self.granted - self.in_flight):
            if not self._waiting:
                return
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
