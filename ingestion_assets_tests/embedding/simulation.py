"""A server of k slots and a client that keeps a limiter's permits in use, on a virtual clock."""

import heapq
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Protocol

from ingestion_assets.embedding.limiter import Congestion, Limiter

BATCH = 32
FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Server:
    """How a server computes: requests wait in one queue for one of its slots.

    Attributes:
        rtt: seconds of round trip.
        per_request: seconds of a request whatever its size.
        per_text: seconds of every text.
        jitter: sigma of the log-normal factor on the time of a request.
        crowding: share by which every further busy slot slows a request down.
        queue: waiting requests beyond which it answers 503.
        concurrent: requests beyond which a proxy in front of it answers 429.
        retry_after: what goes with the 429.
    """

    slots: int = 1
    rtt: float = 0.002
    per_request: float = 0.008
    per_text: float = 0.002
    jitter: float = 0.0
    crowding: float = 0.0
    queue: float = FOREVER
    concurrent: float = FOREVER
    retry_after: float | None = None


class Permits(Protocol):
    """What the client needs of a limiter."""

    @property
    def limit(self) -> int: ...
    def has_room(self) -> bool: ...
    def take(self) -> None: ...
    def succeeded(self, texts: int, seconds: float) -> None: ...
    def congested(self, cause: Congestion, retry_after: float | None = None) -> None: ...
    def resumes_at(self) -> float | None: ...


class Fixed:
    """A limit that never changes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._in_flight = 0

    def has_room(self) -> bool:
        return self._in_flight < self.limit

    def take(self) -> None:
        self._in_flight += 1

    def succeeded(self, texts: int, seconds: float) -> None:
        self._in_flight -= 1

    def congested(self, cause: Congestion, retry_after: float | None = None) -> None:
        self._in_flight -= 1

    def resumes_at(self) -> float | None:
        return None


@dataclass(slots=True, eq=False)
class Request:
    sent: float
    texts: int
    over: bool = False


@dataclass(slots=True)
class Run:
    """What happened.

    Attributes:
        answers: when a request was answered.
        work: beginning, end and request of everything computed.
        refused: when and why a request was not answered.
        limits: when a request was sent, and the limit then.
    """

    answers: list[float] = field(default_factory=list)
    work: list[tuple[float, float, Request]] = field(default_factory=list)
    refused: list[tuple[float, Congestion]] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)

    def rate(self, first: int, last: int = -1) -> float:
        """Texts a second from one answer, by number, to another.

        Texts count while they are computed, so that it does not matter that slots end in bursts.
        """
        start, end = self.answers[first], self.answers[last]
        done = sum(
            request.texts * max(0.0, min(end, after) - max(start, before)) / (after - before)
            for before, after, request in self.work
        )
        return done / (end - start)

    def mean_limit(self, first: int) -> float:
        """The limit, averaged over the requests sent after an answer."""
        limits = [limit for when, limit in self.limits if when >= self.answers[first]]
        return sum(limits) / len(limits)


class Simulation:
    """One client and one server.

    Args:
        changes: the server from its nth answer on.
        timeout: seconds after which the client gives a request up.
        texts: of the nth request.
        gap: seconds that the client needs to prepare a request.
    """

    def __init__(
        self,
        server: Server,
        *,
        changes: Mapping[int, Server] | None = None,
        timeout: float = FOREVER,
        texts: Callable[[int], int] = lambda _: BATCH,
        gap: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.now = 0.0
        self._server = server
        self._changes = dict(changes or {})
        self._timeout = timeout
        self._texts = texts
        self._gap = gap
        self._random = random.Random(seed)
        self._run = Run()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._numbers = count()
        self._queue: deque[Request] = deque()
        self._busy = 0
        self._ready_at = 0.0

    def clock(self) -> float:
        return self.now

    def play(self, permits: Permits, requests: int) -> Run:
        """Keep every permit in use until so many requests are answered."""
        self._permits = permits
        self._send()
        while len(self._run.answers) < requests:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._send()
        return self._run

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def _send(self) -> None:
        while self.now >= self._ready_at and self._permits.has_room():
            self._permits.take()
            self._run.limits.append((self.now, self._permits.limit))
            request = Request(self.now, self._texts(next(self._numbers)))
            self._after(self._server.rtt / 2, partial(self._arrive, request))
            if self._timeout < FOREVER:
                self._after(self._timeout, partial(self._refuse, request, Congestion.TIMEOUT))
            if self._gap:
                self._ready_at = self.now + self._gap
                self._after(self._gap, _nothing)
        if not self._events:  # in a pause
            self._after((self._permits.resumes_at() or FOREVER) - self.now, _nothing)

    def _arrive(self, request: Request) -> None:
        server = self._server
        back = server.rtt / 2
        if len(self._queue) + self._busy >= server.concurrent:
            limited = Congestion.RATE_LIMITED
            self._after(back, partial(self._refuse, request, limited, server.retry_after))
        elif len(self._queue) >= server.queue:
            self._after(back, partial(self._refuse, request, Congestion.BUSY))
        else:
            self._queue.append(request)
            self._compute()

    def _compute(self) -> None:
        while self._queue and self._busy < self._server.slots:
            request = self._queue.popleft()
            if request.over:
                continue
            self._busy += 1
            seconds = self._seconds(request.texts)
            self._run.work.append((self.now, self.now + seconds, request))
            self._after(seconds, partial(self._computed, request))

    def _seconds(self, texts: int) -> float:
        server = self._server
        factor = self._random.lognormvariate(-(server.jitter**2) / 2, server.jitter)
        crowded = 1 + server.crowding * (self._busy - 1)
        return (server.per_request + server.per_text * texts) * factor * crowded

    def _computed(self, request: Request) -> None:
        self._busy -= 1
        self._compute()
        self._after(self._server.rtt / 2, partial(self._answer, request))

    def _answer(self, request: Request) -> None:
        if request.over:
            return
        request.over = True
        self._run.answers.append(self.now)
        self._server = self._changes.get(len(self._run.answers), self._server)
        self._permits.succeeded(request.texts, self.now - request.sent)

    def _refuse(
        self, request: Request, cause: Congestion, retry_after: float | None = None
    ) -> None:
        if request.over:
            return
        request.over = True
        request.texts = 0  # what is still computed of it is lost
        self._run.refused.append((self.now, cause))
        self._permits.congested(cause, retry_after)


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A limiter beside the best fixed limit, on the same server.

    Attributes:
        best: the lowest limit within 1 % of the highest throughput of all.
        best_rate: the highest throughput, texts/s.
        rate: the limiter's.
        limit: the limiter's, on average.
    """

    best: int
    best_rate: float
    rate: float
    limit: float

    @property
    def ratio(self) -> float:
        return self.rate / self.best_rate


def compare(
    server: Server,
    *,
    maximum: int,
    requests: int = 600,
    changes: Mapping[int, Server] | None = None,
    first: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Play a limiter and every fixed limit, and compare from the nth answer on (half of all)."""
    first = requests // 2 if first is None else first

    def simulation() -> Simulation:
        return Simulation(server, changes=changes, seed=seed)

    fixed = [simulation().play(Fixed(n + 1), requests).rate(first) for n in range(maximum)]
    best = next(n for n, rate in enumerate(fixed, 1) if rate >= 0.99 * max(fixed))
    played = simulation()
    run = played.play(Limiter(maximum=maximum, clock=played.clock), requests)
    return Comparison(best, max(fixed), run.rate(first), run.mean_limit(first))
