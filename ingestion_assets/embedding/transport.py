"""The connections to one server: requests in, answers over the connection used last out."""

import asyncio
import ssl
from contextlib import suppress

import httpx

from ingestion_assets.embedding.wire import Wire

FRESH = "fresh"  # an extension of a request: have it sent over a new connection


class Transport(httpx.AsyncBaseTransport):
    """httpx's connections for one base URL, at a fraction of the cost of its own.

    httpcore asks every idle connection, for every request, whether it is still there, and hands a
    body on in pieces through six layers. Here a connection says itself when it is closed, the one
    used last is used next, and an answer is handed on whole. Redirects, cookies and proxies are
    none of its business.

    Args:
        limits: connections at most, those kept when idle, and for how many seconds.
        context: of TLS, for https.
    """

    def __init__(self, base_url: str, limits: httpx.Limits, context: ssl.SSLContext | None) -> None:
        to = httpx.URL(base_url)
        self._host, self._port = to.host, to.port or (443 if to.scheme == "https" else 80)
        self._context = context
        self._kept = limits.max_keepalive_connections or 0
        self._expiry = limits.keepalive_expiry or 0.0
        self._turns = asyncio.Semaphore(limits.max_connections or 1)
        self._idle: list[Wire] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The whole answer.

        Raises:
            httpx.TransportError: there is none; a `StaleConnectionError` if the request is to be
                sent again, with the extension FRESH.
        """
        async with self._turns:
            fresh = request.extensions.get(FRESH, False)
            wire = (None if fresh else self._latest()) or await self._open()
            try:
                return await wire.exchange(_bytes(request), request.extensions["timeout"]["read"])
            finally:
                self._keep(wire)

    async def fill(self) -> None:
        """Open as many connections as are kept, or as can be opened now."""
        await asyncio.gather(*(self._open_one() for _ in range(self._kept - len(self._idle))))

    async def aclose(self) -> None:
        """Close what is kept."""
        while self._idle:
            self._idle.pop().close()
        await asyncio.sleep(0)  # only the loop's next turn gives the sockets back

    async def _open(self) -> Wire:
        return await Wire.open(self._host, self._port, self._context)

    async def _open_one(self) -> None:
        # Left to the request that needs it, and its failure too.
        with suppress(httpx.TransportError):
            self._keep(await self._open())

    def _latest(self) -> Wire | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            wire = self._idle.pop()
            if not wire.closed and now < wire.kept_until:
                return wire
            wire.close()
        return None

    def _keep(self, wire: Wire) -> None:
        self._idle = [other for other in self._idle if not other.closed]
        if wire.closed or len(self._idle) >= self._kept:
            wire.close()
            return
        wire.kept_until = asyncio.get_running_loop().time() + self._expiry
        self._idle.append(wire)


def _bytes(request: httpx.Request) -> tuple[bytes, bytes]:
    """Head and body of a request, as they are sent."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    return b"\r\n".join([*lines, b"", b""]), request.content
