import asyncio
import gzip
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from ingestion_assets.embedding.classify import Sent
from ingestion_assets.embedding.connection import Connection
from ingestion_assets.errors import OllamaError, OllamaUnavailableError
from ingestion_assets_tests.services.faulty_ollama import Double

SENT = Sent("http://gpu1:11434", "/api/version", "m")


class Pieces(httpx.AsyncByteStream):
    """A body that comes piece by piece, as from a network."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), 7):
            yield self.body[start : start + 7]

    async def aclose(self) -> None:
        self.closed = True


def connection(pieces: Pieces, **headers: str) -> Connection:
    return Connection(
        SENT.endpoint,
        api_key=None,
        connections=2,
        keepalive=1,
        timeout=5.0,
        transport=httpx.MockTransport(
            lambda _: httpx.Response(200, headers=headers, stream=pieces)
        ),
    )


async def test_a_body_that_a_proxy_compressed_is_decoded():
    pieces = Pieces(gzip.compress(b"the answer " * 10))
    async with connection(pieces, **{"content-encoding": "gzip"}) as open_connection:
        assert await open_connection.exchange(SENT) == b"the answer " * 10
    assert pieces.closed


async def test_a_body_that_cannot_be_decoded_is_an_error_of_ours():
    async with connection(Pieces(b"no gzip"), **{"content-encoding": "gzip"}) as open_connection:
        with pytest.raises(OllamaError):
            await open_connection.exchange(SENT)


async def test_all_kept_connections_are_opened_at_once_and_then_used(
    faulty_ollama: Double,
) -> None:
    sent, began = Sent(faulty_ollama.url, "/api/version", "m"), time.monotonic()
    open_connection = Connection(
        faulty_ollama.url, api_key=None, connections=8, keepalive=6, timeout=5.0, transport=None
    )
    async with open_connection:
        await open_connection.fill()
        filled_at = time.monotonic()
        for _ in range(3):
            await asyncio.gather(*(open_connection.exchange(sent) for _ in range(6)))
        stats = faulty_ollama.stats()
    assert stats["connections"] == 6
    assert stats["last_connection"] <= filled_at - began


async def test_a_server_that_is_down_is_no_failure_before_it_is_asked() -> None:
    at = "http://127.0.0.1:9"
    async with Connection(
        at, api_key=None, connections=2, keepalive=2, timeout=5.0, transport=None
    ) as open_connection:
        await open_connection.fill()
        with pytest.raises(OllamaUnavailableError):
            await open_connection.exchange(Sent(at, "/api/version", "m"))
