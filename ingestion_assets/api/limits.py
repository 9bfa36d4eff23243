"""Requests in, those that are small, rare and few enough through."""

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingestion_assets.api.errors import failure

UNLIMITED = ("/health/live", "/health/ready", "/metrics")  # probes must not starve
BURST = 2  # times the requests of a second
CLIENTS = 10_000  # remembered at once


class BodyLimit:
    """ASGI middleware: 413 for a body over so many bytes, declared or not."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self._limit:
            await failure(413, self._detail)(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    @property
    def _detail(self) -> str:
        return f"the body is over {self._limit} bytes; send less, or raise INGEST_API_BODY"

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise HTTPException(413, self._detail)
            return message

        return counted


class RateLimit:
    """ASGI middleware: 429 for a client that sends more than so many requests a second.

    A client is an address; what a proxy says about those behind it is not believed.
    """

    def __init__(
        self, app: ASGIApp, rate: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._rate = rate
        self._burst = max(1.0, BURST * rate)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait = self._take(scope) if _limited(scope) else 0.0
        if wait > 0:
            detail = f"more than {self._rate:g} requests a second; see INGEST_API_RATE"
            answer = failure(429, detail, {"Retry-After": str(ceil(wait))})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _take(self, scope: Scope) -> float:
        """Seconds until the client may send its request; 0 if it may now."""
        client = (scope.get("client") or ("",))[0]
        now = self._clock()
        left, since = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        wait = max(0.0, (1 - left) / self._rate)
        self._buckets[client] = (left if wait else left - 1, now)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return wait


class ConcurrencyLimit:
    """ASGI middleware: 503 at once when so many requests are being served."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._served = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _limited(scope):
            await self._app(scope, receive, send)
            return
        if self._served >= self._limit:
            detail = f"{self._limit} requests are being served; see INGEST_API_CONCURRENCY"
            await failure(503, detail, {"Retry-After": "1"})(scope, receive, send)
            return
        self._served += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._served -= 1


def _limited(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["path"] not in UNLIMITED
