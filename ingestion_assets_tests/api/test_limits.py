"""What is too large, too often or too many is refused, and nothing else."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ingestion_assets.api.errors import on_http_error
from ingestion_assets.api.limits import BodyLimit, ConcurrencyLimit, RateLimit


async def _echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


def _client(
    kind: Any, *arguments: Any, endpoint: Any = _echo, address: str = "10.0.0.1"
) -> httpx.AsyncClient:
    app = Starlette(
        routes=[Route(path, endpoint, methods=["GET", "POST"]) for path in ("/", "/health/live")],
        middleware=[Middleware(kind, *arguments)],
        exception_handlers={HTTPException: on_http_error},
    )
    return _of(app, address)


def _of(app: Starlette, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def _pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size):
        yield b"x"


async def test_body_up_to_the_limit_passes():
    async with _client(BodyLimit, 10) as http:
        assert (await http.post("/", content=b"x" * 10)).text == "x" * 10
        assert (await http.post("/", content=_pieces(10))).text == "x" * 10


@pytest.mark.parametrize("content", [b"x" * 11, _pieces(11)])
async def test_larger_body_is_refused_declared_or_not(content):
    async with _client(BodyLimit, 10) as http:
        answer = await http.post("/", content=content)
    assert answer.status_code == 413
    assert answer.json()["error"] == "too_large"
    assert "INGEST_API_BODY" in answer.json()["detail"]


@pytest.mark.parametrize("length", ["-1", "ten", "1e3", ""])
async def test_nonsense_for_a_length_is_refused(length):
    async with _client(BodyLimit, 10) as http:
        answer = await http.post("/", headers={"content-length": length})
    assert answer.status_code == 413


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_client_gets_a_burst_and_then_its_rate():
    clock = Clock()
    async with _client(RateLimit, 5.0, clock) as http:
        first = [(await http.get("/")).status_code for _ in range(11)]
        clock.now += 0.2
        second = [(await http.get("/")).status_code for _ in range(2)]
        refused = await http.get("/")
    assert first == [200] * 10 + [429]
    assert second == [200, 429]
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"] == "too_many_requests"


async def test_waiting_earns_no_more_than_a_burst():
    clock = Clock()
    async with _client(RateLimit, 2.0, clock) as http:
        await http.get("/")
        clock.now += 1000
        assert [(await http.get("/")).status_code for _ in range(5)] == [200] * 4 + [429]


async def test_clients_do_not_share_a_rate():
    async with _client(RateLimit, 0.5, Clock()) as one:
        app = one._transport.app  # type: ignore[attr-defined]
        async with _of(app, "10.0.0.2") as two:
            statuses = [(await http.get("/")).status_code for http in (one, one, two, two)]
    assert statuses == [200, 429, 200, 429]


async def test_what_a_header_says_makes_no_other_client():
    async with _client(RateLimit, 0.5, Clock()) as http:
        for expected, claimed in ((200, "1.1.1.1"), (429, "2.2.2.2")):
            answer = await http.get("/", headers={"X-Forwarded-For": claimed})
            assert answer.status_code == expected


async def test_probes_are_not_limited():
    async with _client(RateLimit, 0.5, Clock()) as http:
        assert {(await http.get("/health/live")).status_code for _ in range(9)} == {200}


async def test_only_so_many_are_served_at_once():
    gate = anyio.Event()
    inside = anyio.Semaphore(0)

    async def wait(_: Request) -> Response:
        inside.release()
        await gate.wait()
        return PlainTextResponse("done")

    statuses: list[int] = []

    async with _client(ConcurrencyLimit, 2, endpoint=wait) as http:

        async def ask() -> None:
            statuses.append((await http.get("/")).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(ask)
                await inside.acquire()
            refused = await http.get("/")
            gate.set()
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert statuses == [200, 200]
        assert (await http.get("/")).status_code == 200
