"""One HTTP/1.1 connection: a request's bytes in, the answer to it out, parsed in C."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Self, cast

import httptools
import httpx

CONNECT_TIMEOUT = 5.0  # seconds
HEAD_START = 0.25  # seconds that the first address of a name has before the second


class StaleConnectionError(httpx.RemoteProtocolError):
    """A kept connection turned out to be closed before a byte of the answer came.

    That says nothing about the server's health: it closed the connection just as it was used again.
    """


class Wire(asyncio.Protocol):
    """A connection that carries one exchange at a time, and knows at once when it is closed.

    Attributes:
        kept_until: by the loop's clock, when it has been idle for too long; 0 if it is new.
    """

    def __init__(self) -> None:
        self.kept_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._answer: _Answer | None = None
        self._ended: asyncio.Future[None] | None = None
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext | None) -> Self:
        """Connect, with TLS if there is a context.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: as the names say.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, wire = await loop.create_connection(
                    cls, host, port, ssl=context, **_racing(loop, host)
                )
        except TimeoutError as exc:
            raise httpx.ConnectTimeout(f"no connection in {CONNECT_TIMEOUT:.0f} s") from exc
        except OSError as exc:  # refused, unknown to DNS, or a certificate nobody trusts
            raise httpx.ConnectError(str(exc)) from exc
        return wire

    @property
    def closed(self) -> bool:
        """Whether it cannot carry another exchange."""
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        """Close it at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    async def exchange(self, request: Sequence[bytes], patience: float) -> httpx.Response:
        """Send a request; the whole answer, its body joined as it came and decoded once.

        Args:
            patience: seconds without a byte before giving up.

        Raises:
            StaleConnectionError: it was closed before; send the request over another one.
            httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError: as the names say.
        """
        if self._transport is None:
            raise StaleConnectionError("closed while it was idle")
        answer = self._answer = _Answer()
        self._ended = self._loop.create_future()
        self._heard_at = self._loop.time()
        self._look_in(patience, patience)
        try:
            self._transport.writelines(request)
            await self._ended
        finally:
            if self._watch is not None:
                self._watch.cancel()
            self._answer = None
            if not answer.reusable:
                self.close()
        return answer.response()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody has asked
            self.close()
            return
        self._heard_at = self._loop.time()
        try:
            self._answer.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._end(httpx.RemoteProtocolError(f"no HTTP/1.1: {exc}"))
        else:
            if self._answer.complete:
                self._end()

    def eof_received(self) -> None:
        if self._answer is not None and self._answer.ends_with_connection:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is None:
            return
        if self._answer.ends_with_connection:
            self._end()
        elif self.kept_until and not self._answer.begun:
            self._end(StaleConnectionError("closed as it was used again"))
        elif exc is not None:
            self._end(httpx.ReadError(str(exc)))
        else:
            self._end(httpx.RemoteProtocolError("closed before the answer was complete"))

    def _look_in(self, seconds: float, patience: float) -> None:
        self._watch = self._loop.call_later(seconds, self._look, patience)

    def _look(self, patience: float) -> None:
        left = self._heard_at + patience - self._loop.time()
        if left > 0:
            self._look_in(left, patience)
        else:
            self._end(httpx.ReadTimeout(f"no byte in {patience:.0f} s"))

    def _end(self, error: Exception | None = None) -> None:
        if self._ended is None or self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


def _racing(loop: asyncio.AbstractEventLoop, host: str) -> dict[str, Any]:
    """How to try several addresses of a name at once, where the loop can and the host is a name."""
    # Cancelled meanwhile, asyncio loses a socket in 3.11: so not for what is an address itself.
    if ":" in host or host.replace(".", "").isdigit():
        return {}
    return {"happy_eyeballs_delay": HEAD_START} if isinstance(loop, asyncio.BaseEventLoop) else {}


class _Answer:
    """What came so far of an answer; the parser calls the methods that begin with `on`."""

    def __init__(self) -> None:
        self.begun = self.complete = False
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._status = 0
        self._framed = self._lasting = self._excess = False

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another exchange after this one."""
        return self.complete and self._lasting and not self._excess

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the body."""
        return self._status >= 200 and not self._framed

    def feed(self, data: bytes) -> None:
        self.begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._excess = self.complete
            if not self.complete:
                raise

    def response(self) -> httpx.Response:
        """The answer; to be asked for once, at the end."""
        del self._parser  # it refers to this, and both would live until the garbage collector came
        return httpx.Response(self._status, headers=self._headers, content=b"".join(self._pieces))

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("more than was asked for")
        self._headers = []  # those of a 1xx are not the answer's

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        self._framed |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._lasting = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self.complete = self._status >= 200
