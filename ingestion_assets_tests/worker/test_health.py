"""The health server over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx
import pytest

from ingestion_assets.errors import ConfigError
from ingestion_assets.worker.health import Answer, HealthServer


async def _sick() -> Answer:
    return Answer.json(HTTPStatus.SERVICE_UNAVAILABLE, {"ready": False})


@asynccontextmanager
async def _served() -> AsyncIterator[str]:
    async with HealthServer({"/readyz": _sick}).listening("127.0.0.1", 0) as url:
        yield url


async def _raw(url: str, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def _ask(method: str, path: str) -> httpx.Response:
    async with _served() as url, httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, url + path)


async def test_a_route_is_answered_with_its_status_and_json():
    answer = await _ask("GET", "/readyz?verbose")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})
    assert answer.headers["content-type"] == "application/json"


async def test_head_is_answered_without_a_body():
    answer = await _ask("HEAD", "/readyz")
    assert (answer.status_code, answer.content) == (503, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/readyz", 405)]
)
async def test_everything_else_is_refused(method, path, status):
    assert (await _ask(method, path)).status_code == status


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /readyz SPDY/3\r\n\r\n", b"400"),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /readyz HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
    ],
)
async def test_malformed_requests_are_answered_and_the_server_goes_on(request_, status):
    async with _served() as url:
        assert (await _raw(url, request_)).split(b" ")[1] == status
        assert b"503" in await _raw(url, b"GET /readyz HTTP/1.0\r\n\r\n")


async def test_a_client_that_says_nothing_keeps_nobody_out():
    async with _served() as url:
        silent = [await asyncio.open_connection("127.0.0.1", urlsplit(url).port) for _ in range(5)]
        assert b"503" in await _raw(url, b"GET /readyz HTTP/1.1\r\n\r\n")
        for _, writer in silent:
            writer.close()


async def test_an_address_that_is_taken_is_named_with_the_remedy():
    async with _served() as url:
        port = urlsplit(url).port
        assert port is not None
        with pytest.raises(ConfigError, match=rf"{port}.*INGEST_WORKER_PORT"):
            async with HealthServer({}).listening("127.0.0.1", port):
                pass
