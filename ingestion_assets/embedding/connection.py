"""One endpoint's HTTP: bytes to a path, bytes of a 200 back, or a typed error."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self
from urllib.request import getproxies

import httpx

from ingestion_assets.embedding.classify import Reply, Sent, classify
from ingestion_assets.embedding.host import is_loopback
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.embedding.transport import FRESH, Transport
from ingestion_assets.embedding.wire import CONNECT_TIMEOUT, StaleConnectionError
from ingestion_assets.errors import ConfigError

KEEPALIVE_EXPIRY = 60.0  # seconds; Ollama never closes an idle connection, a proxy may
DRIPPING = 2  # times the patience that a whole exchange may take, byte by byte


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
        self._given = transport
        self._shared: dict[str, Any] = {
            "headers": _headers(api_key),
            "timeout": _timeout(timeout),
            "trust_env": not is_loopback(base_url),
        }
        limits = httpx.Limits(
            max_connections=connections,
            max_keepalive_connections=keepalive,
            keepalive_expiry=KEEPALIVE_EXPIRY,
        )
        self._direct = None
        if transport is None and not _proxied(base_url):
            transport = self._direct = Transport(base_url, limits, _tls(base_url))
        self._client = httpx.AsyncClient(limits=limits, transport=transport, **self._shared)
        self._streaming: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        if self._streaming is not None:
            await self._streaming.aclose()

    async def fill(self) -> None:
        """Open as many connections as are kept, so that no request has to wait for a new one.

        One that cannot be opened now is left to the request that needs it, and its failure too.
        """
        if self._direct is not None:
            await self._direct.fill()

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
        answer.stream = httpx.ByteStream(b"")  # httpx's refers to the answer, and keeps it alive
        _check(answer, sent)
        self.stats.bytes += len(content or b"") + len(answer.content)
        return answer.content

    async def lines(self, sent: Sent, content: bytes) -> AsyncGenerator[str, None]:
        """The lines of an answer that comes piece by piece, each as it comes.

        Raises:
            OllamaError: as for an exchange.
        """
        with _translated(sent):
            url = self.base_url + sent.path
            async with self._streams().stream("POST", url, content=content) as by:
                if by.status_code != 200:
                    await by.aread()
                    _check(by, sent)
                async for line in by.aiter_lines():
                    yield line

    def _streams(self) -> httpx.AsyncClient:
        """The client for answers that are read as they come, made when there is one."""
        if self._streaming is None:
            # It keeps no connection, so what it sends never meets a stale one.
            once = httpx.Limits(max_keepalive_connections=0)
            self._streaming = httpx.AsyncClient(limits=once, transport=self._given, **self._shared)
        return self._streaming

    async def _send(
        self, sent: Sent, content: bytes | None, limits: httpx.Timeout
    ) -> httpx.Response:
        # Not by the client, which puts every request together from defaults that never change.
        request = httpx.Request(
            "GET" if content is None else "POST",
            _url(self.base_url, sent.path),
            headers=self._client.headers,
            content=content,
            extensions={"timeout": limits.as_dict()},
        )
        try:
            return await self._client.send(request)
        except StaleConnectionError:
            # Embedding is idempotent: once more, at once, on a new connection.
            self.stats.retries += 1
        request.extensions[FRESH] = True
        return await self._client.send(request)


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


def _tls(base_url: str) -> ssl.SSLContext | None:
    # Only if it is used: one takes 40 ms and 2 MB.
    return httpx.create_ssl_context() if base_url.startswith("https") else None


def _proxied(base_url: str) -> bool:
    """Whether the environment names a proxy that httpx would send this through, or leave out."""
    scheme, _, _ = base_url.partition(":")
    return not is_loopback(base_url) and bool({scheme, "all"} & getproxies().keys())


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
