"""A minimal HTTP/1.1 server that can also break the rules: close early, drip, cut bodies."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

JSON = "application/json; charset=utf-8"
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


class GoneError(Exception):
    """The client closed the connection, or a fault did."""


@dataclass(slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    accepted_at: float | None = None  # by the loop's clock, of the first one on a connection

    async def nap(self, seconds: float) -> None:
        """Sleep, but no longer than the client stays."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            await asyncio.sleep(min(left, 0.05))
            if self.reader.at_eof():
                raise GoneError


@dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    def head(self, length: str = "") -> bytes:
        reason = _REASONS.get(self.status, "Status")
        lines = [
            f"HTTP/1.1 {self.status} {reason}",
            f"Content-Type: {self.content_type}",
            length or f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


Handler = Callable[[Request], Awaitable[Reply | None]]


async def serve_connection(
    handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer requests one after another; a handler that returns none has answered itself."""
    accepted_at: float | None = asyncio.get_running_loop().time()
    try:
        while (request := await _read(reader, writer)) is not None:
            request.accepted_at, accepted_at = accepted_at, None
            reply = await handler(request)
            if reply is not None:
                body = b"" if request.method == "HEAD" else reply.body
                writer.write(reply.head() + body)
            await writer.drain()
    except (GoneError, ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, reader, writer)
