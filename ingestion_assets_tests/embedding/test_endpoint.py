import asyncio
from functools import partial

import httpx
import numpy as np
import orjson
import pytest

from ingestion_assets.embedding.breaker import Breaker
from ingestion_assets.embedding.endpoint import WASTE_FLOOR, Endpoint
from ingestion_assets.embedding.identity import Identity
from ingestion_assets.embedding.limiter import Limiter
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.errors import (
    MixedVectorsError,
    OllamaError,
    OllamaUnavailableError,
    WrongDimensionsError,
)
from ingestion_assets_tests.embedding.served import Served

MODEL = Identity("m", "d" * 64, 2, 256, "0.33.0", {})


def endpoint(ollama: Ollama) -> Endpoint:
    return Endpoint(ollama, Limiter(start=4, maximum=4), Breaker("gpu1"))


def failing(failure: Exception | httpx.Response) -> Endpoint:
    def answer(_: httpx.Request) -> httpx.Response:
        if isinstance(failure, Exception):
            raise failure
        return failure

    return endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer)))


async def embed(one: Endpoint, texts: int = 1) -> None:
    one.take(texts)
    await one.embed(MODEL, ["x"] * texts)


@pytest.mark.parametrize(
    ("failure", "failures", "backoffs", "hits"),
    [
        (httpx.ConnectError("refused"), 1, 0, 0),
        (httpx.ReadTimeout("late"), 1, 1, 0),
        (httpx.Response(500, json={"error": "process has terminated"}), 1, 0, 0),
        (httpx.Response(400, json={"error": "dial tcp: connection refused"}), 1, 1, 0),
        (httpx.Response(200, json={"embeddings": []}), 1, 0, 0),
        (httpx.Response(503, json={"error": "server busy"}), 0, 1, 1),
        (httpx.Response(429), 0, 1, 1),
        (httpx.Response(400, json={"error": "embedding contains NaN or Inf values"}), 0, 0, 0),
        (httpx.Response(400, json={"error": "exceeds the context length"}), 0, 0, 0),
        (httpx.Response(413), 0, 0, 0),
        (httpx.Response(404, json={"error": "model 'm' not found"}), 0, 0, 0),
        (httpx.Response(401), 0, 0, 0),
    ],
    ids=lambda given: f"{given} {given.text}" if isinstance(given, httpx.Response) else str(given),
)
async def test_a_failure_counts_where_it_says_something(
    failure: Exception | httpx.Response, failures: int, backoffs: int, hits: int
) -> None:
    one = failing(failure)
    with pytest.raises(OllamaError):
        await embed(one)
    state = one.state()
    assert state.breaker.failures == failures
    assert (state.limiter.backoffs, state.rate_limit_hits) == (backoffs, hits)
    assert state.limiter.in_flight == one.work(0) == 0


async def test_an_answer_is_a_success_for_breaker_and_pace() -> None:
    one = endpoint(Served().client())
    await embed(one, 4)
    state = one.state()
    assert (state.requests, state.texts, state.breaker.succeeded) == (1, 4, 1)
    assert one.pace > 0
    assert state.limiter.in_flight == 0


async def test_cancelling_gives_the_permit_back() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(hang)))
    one.take(3)
    sending = asyncio.create_task(one.embed(MODEL, ["x"] * 3))
    await asyncio.sleep(0.01)
    assert one.work(0) == 3
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert one.state().limiter.in_flight == one.work(0) == 0
    assert one.state().breaker.failures == 0


async def test_patience_is_the_clients_until_there_is_an_expectation() -> None:
    served = Served()
    one = endpoint(served.client(timeout=300))
    await embed(one)
    await embed(one)
    assert served.patience == [300, 30]


async def test_a_timeout_makes_for_more_patience_until_the_next_answer() -> None:
    patience: list[float] = []
    late = [True, True, False, False]

    def answer(request: httpx.Request) -> httpx.Response:
        patience.append(request.extensions["timeout"]["read"])
        if late.pop(0):
            raise httpx.ReadTimeout("late")
        return httpx.Response(200, json={"embeddings": [[0.0, 1.0]]})

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer), timeout=20))
    for _ in range(2):
        with pytest.raises(OllamaUnavailableError):
            await embed(one)
    await embed(one)
    await embed(one)
    assert patience == [20, 40, 80, 20]


async def test_requests_that_time_out_together_are_one_timeout() -> None:
    patience: list[float] = []

    async def hang(request: httpx.Request) -> httpx.Response:
        patience.append(request.extensions["timeout"]["read"])
        await asyncio.sleep(0.01)
        raise httpx.ReadTimeout("late")

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(hang), timeout=20))
    for _ in range(2):
        await asyncio.gather(embed(one), embed(one), embed(one), return_exceptions=True)
    assert patience == [20] * 3 + [40] * 3


async def test_a_timeout_is_the_texts_if_a_harmless_one_passes() -> None:
    patience: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        patience.append(request.extensions["timeout"]["read"])
        if b"quick brown fox" in request.content:
            return httpx.Response(200, json={"embeddings": [[0.0, 1.0]]})
        raise httpx.ReadTimeout("late")

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer), timeout=20))
    for _ in range(3):
        with pytest.raises(OllamaUnavailableError):
            await embed(one)
        assert await one.passes_canary(MODEL)
    assert patience == [20, 40] * 3


async def test_one_dead_vector_is_the_texts_and_many_are_the_servers() -> None:
    def answer(rows: list[list[float]]) -> Endpoint:
        return failing(httpx.Response(200, json={"embeddings": rows}))

    one_dead, two_dead = answer([[0, 1], [0, 0]]), answer([[0, 0], [0, 0]])
    await embed(one_dead, 2)
    await embed(two_dead, 2)
    assert one_dead.state().breaker.failures == 0
    assert two_dead.state().breaker.failures == 1


async def test_a_canary_is_judged_by_its_vector() -> None:
    assert await endpoint(Served().client()).passes_canary(MODEL)
    assert not await endpoint(Served(canary=(0.0, 0.0)).client()).passes_canary(MODEL)
    assert not await failing(httpx.ConnectError("refused")).passes_canary(MODEL)


async def test_canaries_asked_for_at_once_are_one() -> None:
    sent: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        await asyncio.sleep(0.01)
        return Served().answer(request)

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer)))
    assert await asyncio.gather(*(one.passes_canary(MODEL) for _ in range(5))) == [True] * 5
    assert len(sent) == 1


async def test_a_canary_waits_until_the_model_was_reloaded() -> None:
    sent: list[tuple[int, str]] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/embed":
            asked = orjson.loads(request.content)
            sent.append((len(asked["input"]), asked["keep_alive"]))
            await asyncio.sleep(0.01)
        return Served().answer(request)

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer)))
    reloading = asyncio.create_task(one.reload(MODEL, 0))
    await asyncio.sleep(0)
    assert all(await asyncio.gather(reloading, one.passes_canary(MODEL)))
    unload, load = (0, "0s"), (0, "10m")
    assert sent == [unload, load, (1, "10m"), (3, "10m"), (1, "10m")]


async def test_an_unload_waits_for_the_requests_under_way() -> None:
    order: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        order.append(request.url.path)
        if request.url.path == "/api/embed" and len(order) == 1:
            await asyncio.sleep(0.01)
            order.append("answered")
        return Served().answer(request)

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer)))
    await asyncio.gather(embed(one), one.reload(MODEL, 0))
    assert order[:2] == ["/api/embed", "answered"]


async def test_a_text_is_embedded_without_a_gpu_and_the_model_loaded_back() -> None:
    options: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        options.append(orjson.loads(request.content)["options"])
        return Served().answer(request)

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer)))
    assert (await one.embed_on_cpu(MODEL, "x")).matrix.tolist() == [[0.0, -1.0]]
    assert options == [{"num_gpu": 0}, {}]


async def test_dimensions_that_change_are_counted_once_for_requests_under_way_together() -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return httpx.Response(200, json={"embeddings": [[0.0, 0.0, 1.0]]})

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer)))
    for expected in (1, 2):
        said = await asyncio.gather(embed(one), embed(one), return_exceptions=True)
        assert [type(error) for error in said] == [WrongDimensionsError] * 2
        assert one.misfits == expected


async def test_a_server_is_wasteful_if_too_many_requests_were_in_vain() -> None:
    one = endpoint(Served().client())
    one.wasted = WASTE_FLOOR
    assert not one.wasteful
    one.wasted += 1
    assert one.wasteful
    for _ in range(5):
        await embed(one)
    assert not one.wasteful


async def test_the_latest_answers_are_checked_at_the_end() -> None:
    mixed = False
    vectors = {"The quick brown fox jumps over the lazy dog.": [1.0, 0.0]}

    def answer(request: httpx.Request) -> httpx.Response:
        rows = [vectors.get(t, [0.0, 1.0]) for t in orjson.loads(request.content)["input"]]
        return httpx.Response(200, json={"embeddings": rows[::-1] if mixed else rows})

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer)))
    one.trust.learn(np.array([1.0, 0.0], np.float32))
    kept: list[str] = []
    for name in ("checked", "held"):
        one.take(2)
        (await one.embed(MODEL, ["x", "y"])).probation.hold(partial(kept.append, name))
    assert kept == ["checked"]
    mixed = True
    with pytest.raises(MixedVectorsError):
        await one.settle(MODEL)
    assert (kept, one.trust.lost()) == (["checked"], 1)


async def test_latest_answers_that_cannot_be_checked_are_believed() -> None:
    served = Served()
    one = endpoint(served.client())
    one.trust.learn(np.array([1.0, 0.0], np.float32))
    kept: list[str] = []
    for name in ("checked", "held"):
        one.take(2)
        (await one.embed(MODEL, ["x", "y"])).probation.hold(partial(kept.append, name))
    served.installed = False
    await one.settle(MODEL)
    assert kept == ["checked", "held"]


async def test_an_ejected_server_passes_no_canary_and_has_no_room() -> None:
    one = endpoint(Served().client())
    assert one.has_room
    one.breaker.trip("dead")
    assert not await one.passes_canary(MODEL)
    assert not one.has_room


async def test_many_ask_for_a_reload_and_one_is_made() -> None:
    served = Served()
    one = endpoint(served.client())
    assert await asyncio.gather(*(one.reload(MODEL, 0) for _ in range(5))) == [True] * 5
    assert served.unloads == 1


async def test_nothing_is_sent_while_the_model_is_reloaded() -> None:
    room: list[bool] = []

    def answer(request: httpx.Request) -> httpx.Response:
        room.append(one.has_room)
        return Served().answer(request)

    one = endpoint(Ollama("gpu1", transport=httpx.MockTransport(answer)))
    await one.reload(MODEL, 0)
    assert not any(room)
    assert one.has_room


async def test_a_server_that_stays_sick_after_the_reload_is_ejected() -> None:
    one = endpoint(Served(canary=(0.0, 0.0)).client())
    assert not await one.reload(MODEL, 0)
    assert not one.available
