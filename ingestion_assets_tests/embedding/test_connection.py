import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from ingestion_assets.embedding.classify import Sent
from ingestion_assets.embedding.connection import Connection
from ingestion_assets.errors import OllamaError

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
