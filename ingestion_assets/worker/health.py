"""A server for probes and for Prometheus: GET in, one short answer out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import orjson

from ingestion_assets.errors import ConfigError

LARGEST = 8192  # bytes of a request
SECONDS = 5.0  # for a request to come in and its answer to go out
AT_ONCE = 16  # connections that are served; others wait for their turn


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"

    @classmethod
    def json(cls, status: HTTPStatus, content: Mapping[str, object]) -> "Answer":
        """An answer in JSON."""
        return cls(status, orjson.dumps(content) + b"\n")


Route = Callable[[], Awaitable[Answer]]


class HealthServer:
    """Answers GET and HEAD on a few paths, one request a connection.

    Args:
        routes: what to answer on which path.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve while it lasts; gives the address as a URL.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        try:
            server = await asyncio.start_server(self._serve, host, port, limit=LARGEST)
        except OSError as exc:
            raise ConfigError(
                f"cannot listen on {host}:{port} ({exc}); set INGEST_WORKER_PORT, and"
                " INGEST_WORKER_HOST if it is the address"
            ) from exc
        try:
            address, bound = server.sockets[0].getsockname()[:2]
            yield f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"
        finally:
            server.close()
            for exchange in self._under_way:
                exchange.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = asyncio.create_task(self._exchange_in_time(reader, writer))
        self._under_way.add(exchange)
        exchange.add_done_callback(self._under_way.discard)

    async def _exchange_in_time(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with self._turns, asyncio.timeout(SECONDS):
                await self._exchange(reader, writer)
        except (TimeoutError, ConnectionError):
            pass  # nobody is left to be told
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(_packed(_refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)))
        except asyncio.IncompleteReadError:
            return
        else:
            method, path = _request(head)
            writer.write(_packed(await self._answer(method, path), bodiless=method == "HEAD"))
        await writer.drain()

    async def _answer(self, method: str, path: str) -> Answer:
        if not path.startswith("/"):
            return _refusal(HTTPStatus.BAD_REQUEST)
        if path not in self._routes:
            return _refusal(HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        return await self._routes[path]()


def _request(head: bytes) -> tuple[str, str]:
    """Method and path of a request; both empty if it is none."""
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return "", ""
    return words[0], words[1].partition("?")[0]


def _refusal(status: HTTPStatus) -> Answer:
    return Answer.json(status, {"error": status.phrase})


def _packed(answer: Answer, *, bodiless: bool = False) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *(["Allow: GET, HEAD"] if answer.status is HTTPStatus.METHOD_NOT_ALLOWED else []),
    )
    head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    return head if bodiless else head + answer.body
