"""One endpoint's HTTP: bytes to a path, bytes of a 200 back, or a typed error."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self

import httpx

from ingestion_assets.embedding.classify import Reply, Sent, classify
from ingestion_assets.embedding.host import is_loopback
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.errors import ConfigError

CONNECT_TIMEOUT = 5.0  # seconds
KEEPALIVE_EXPIRY = 60.0  # seconds; Ollama never closes an idle connection, a proxy may
DRIPPING = 2  # times the patience that a whole exchange may take, byte by byte
_LOST = (httpx.RemoteProtocolError, httpx.NetworkError)


class Connection:
    """Pooled connections to one base URL, each request with the token if there is one."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        connections: int,
        keepalive: int,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self.stats = Stats()
        self._kept = keepalive
        shared: dict[str, Any] = {
            "headers": _headers(api_key),
            "timeout": _timeout(timeout),
            "trust_env": not is_loopback(base_url),
            "verify": _tls(base_url),
            "transport": transport,
        }
        pool = httpx.Limits(
            max_connections=connections,
            max_keepalive_connections=keepalive,
            keepalive_expiry=KEEPALIVE_EXPIRY,
        )
        self._client = httpx.AsyncClient(limits=pool, **shared)
        # Keeps no connection, so what it sends never meets a stale one.
        self._fresh = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=0), **shared
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        await self._fresh.aclose()

    async def fill(self) -> None:
        """Open as many connections as are kept, so that no request has to wait for a new one.

        One that cannot be opened now is left to the request that needs it, and its failure too.
        """
        # All are held until the last one is open: one given back would be used instead of opened.
        with suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT), AsyncExitStack() as held:
                openings = (self._open(held) for _ in range(self._kept))
                await asyncio.gather(*openings, return_exceptions=True)

    async def _open(self, held: AsyncExitStack) -> None:
        question = self._client.stream("GET", _url(self.base_url, "/api/version"))
        answer = await held.enter_async_context(question)
        held.push_async_callback(answer.aread)  # a connection is kept if nothing is left to read

    async def exchange(
        self, sent: Sent, content: bytes | None = None, *, patience: float | None = None
    ) -> bytes:
        """Post the content, or get if there is none; returns the body of the 200.

        Args:
            patience: seconds without a byte before giving up; none means the connection's own. A
                server that drips is given twice as many in all.

        Raises:
            OllamaError: everything else, as the table in `classify` has it.
        """
        patience = patience or self.timeout
        with _translated(sent):
            async with asyncio.timeout(DRIPPING * patience):
                answer = await self._send(sent, content, _timeout(patience))
        _check(answer, sent)
        self.stats.bytes += len(content or b"") + len(answer.content)
        return answer.content

    async def lines(self, sent: Sent, content: bytes) -> AsyncGenerator[str, None]:
        """The lines of an answer that comes piece by piece, each as it comes.

        Raises:
            OllamaError: as for an exchange.
        """
        with _translated(sent):
            async with self._fresh.stream("POST", self.base_url + sent.path, content=content) as by:
                if by.status_code != 200:
                    await by.aread()
                    _check(by, sent)
                async for line in by.aiter_lines():
                    yield line

    async def _send(
        self, sent: Sent, content: bytes | None, limits: httpx.Timeout
    ) -> httpx.Response:
        wire = _Wire()
        # Not by the client, which puts every request together from defaults that never change.
        request = httpx.Request(
            "GET" if content is None else "POST",
            _url(self.base_url, sent.path),
            headers=self._client.headers,
            content=content,
            extensions={"timeout": limits.as_dict(), "trace": wire},
        )
        try:
            return await _whole(self._client, request)
        except _LOST:
            if wire.opened or wire.answered:
                raise
        # The server closed a kept connection just as it was used again. That says nothing about
        # its health, and embedding is idempotent: once more, at once, on a new connection.
        self.stats.retries += 1
        return await _whole(self._fresh, request)


class _Wire:
    """What happened on the connection of one request, as httpcore traces it."""

    def __init__(self) -> None:
        self.opened = False
        self.answered = False

    async def __call__(self, event: str, _: dict[str, Any]) -> None:
        self.opened |= event == "connection.connect_tcp.started"
        self.answered |= event == "http11.receive_response_headers.complete"


async def _whole(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The answer with its body, joined as it came and decoded once."""
    # httpx decodes and rearranges each of its pieces: 0.3 ms more for 64 vectors.
    answer = await client.send(request, stream=True)
    if answer.is_stream_consumed:  # by a transport that has no network
        return answer
    try:
        body = b"".join([piece async for piece in answer.aiter_raw()])
    finally:
        await answer.aclose()
    return httpx.Response(answer.status_code, headers=answer.headers, content=body)


@contextmanager
def _translated(sent: Sent) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError) as exc:
        raise classify(exc, sent) from exc


def _check(answer: httpx.Response, sent: Sent) -> None:
    if answer.status_code != 200:
        reply = Reply(
            answer.status_code, answer.headers, answer.content, received=datetime.now(UTC)
        )
        raise classify(reply, sent)


def _tls(base_url: str) -> ssl.SSLContext:
    if base_url.startswith("https"):
        return httpx.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused, so without 40 ms of certificates


@cache
def _url(base_url: str, path: str) -> httpx.URL:
    return httpx.URL(base_url + path)


def _timeout(read: float) -> httpx.Timeout:
    # No pool timeout: a request that waits for its turn has not failed.
    return httpx.Timeout(read, connect=CONNECT_TIMEOUT, pool=None)


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if api_key and api_key.strip():
        token = api_key.strip()
        if not (token.isascii() and token.isprintable()):
            raise ConfigError("OLLAMA_API_KEY holds characters that a header cannot carry")
        headers["Authorization"] = f"Bearer {token}"
    return headers
