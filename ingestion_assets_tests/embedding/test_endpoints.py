import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from ingestion_assets.changes import Vectors
from ingestion_assets.embedding.breaker import Phase
from ingestion_assets.embedding.endpoints import Endpoints
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.stream import EmbeddingStream, Metrics
from ingestion_assets.errors import (
    ConfigError,
    ModelError,
    OllamaAuthError,
    OllamaError,
    OllamaUnavailableError,
)
from ingestion_assets_tests.embedding.given import AT_ONCE, paged, texts
from ingestion_assets_tests.embedding.served import Served
from ingestion_assets_tests.embedding.test_stream import check, collect, until
from ingestion_assets_tests.services.faulty_ollama import Double, running

BATCH = 8


@pytest.fixture(scope="module")
def _trio() -> Iterator[tuple[Double, ...]]:
    with running() as one, running() as two, running() as three:
        yield one, two, three


@pytest.fixture
def trio(_trio: tuple[Double, ...]) -> tuple[Double, ...]:
    """Three doubles of a millisecond a text."""
    for double in _trio:
        double.reset(text_ms=1)
    return _trio


@asynccontextmanager
async def pooled(*urls: str, **options: float) -> AsyncIterator[Endpoints]:
    settings = {"breaker_seconds": 0.2, "deadline": 10, **options}
    ollamas = [Ollama(url, timeout=5) for url in urls]
    async with Endpoints(ollamas, backoff=AT_ONCE, **settings) as pool:  # type: ignore[arg-type]
        yield pool


async def embedded(
    pool: Endpoints, n: int, *, at: int | None = None, then: Callable[[], object] = list
) -> tuple[list[Vectors], Metrics]:
    """All batches; something happens once so many texts are embedded."""
    identity = await pool.identify("all-minilm")
    stream = EmbeddingStream(pool, identity, paged(texts(n)), batch_size=BATCH)

    async def act() -> None:
        await until(lambda: stream.metrics.texts_embedded >= (at or 0))
        await asyncio.to_thread(then)

    acting = asyncio.create_task(act())
    batches = [vectors async for vectors in stream]
    await acting
    assert stream.rejected == []
    return batches, stream.metrics


def embedded_by(*doubles: Double) -> list[int]:
    return [double.stats()["texts_embedded"] for double in doubles]


async def test_all_servers_share_the_work(trio: tuple[Double, ...]) -> None:
    async with pooled(*(double.url for double in trio)) as pool:
        batches, metrics = await embedded(pool, 1_200)
    check(trio[0], batches, texts(1_200))
    assert all(n > 300 for n in embedded_by(*trio))
    assert [state.url for state in metrics.endpoints] == [double.url for double in trio]
    assert sum(state.texts for state in metrics.endpoints) == 1_200 + 3 * (4 + 1 + 3)  # known ones


async def test_a_faster_server_is_given_more(trio: tuple[Double, ...]) -> None:
    slow, fast, _ = trio
    slow.reset(text_ms=8)
    async with pooled(slow.url, fast.url) as pool:
        await embedded(pool, 1_200)
    by_slow, by_fast = embedded_by(slow, fast)
    assert by_fast > 3 * by_slow


async def test_least_work_first() -> None:
    names = {"http://gpu1:11434": 1, "http://gpu2:11434": 2}
    pool = Endpoints([Served().client("gpu1"), Served().client("gpu2")])
    taken = [await pool.take(n) for n in (32, 8, 8, 32, 8)]
    assert [names[endpoint.url] for endpoint in taken] == [1, 2, 2, 2, 1]


async def test_who_just_failed_is_avoided_if_another_has_room() -> None:
    pool = Endpoints([Served().client("gpu1"), Served().client("gpu2")], workers=1, max_workers=1)
    async with pool.serving(await pool.identify("m")):
        first = await pool.take(1)
        await pool.send(first, ["x"])
        second = await pool.take(1, avoid=first)
        assert second is not first
        second.breaker.trip("dead")
        assert await pool.take(1, avoid=first) is first


async def test_the_line_waits_for_a_permit() -> None:
    pool = Endpoints([Served().client()], workers=1, max_workers=1)
    async with pool.serving(await pool.identify("m")):
        endpoint = await pool.take(1)
        waiting = [asyncio.create_task(pool.take(n)) for n in (1, 2)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        await pool.send(endpoint, ["x"])
        assert await waiting[0] is endpoint
        await asyncio.sleep(0.01)
        assert not waiting[1].done()
        await pool.send(endpoint, ["x"])
        assert await waiting[1] is endpoint


async def test_work_is_weighed_by_the_pace_of_who_does_it() -> None:
    async def slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1 if request.url.path == "/api/embed" else 0)
        return Served().answer(request)

    slow = Ollama("gpu1", transport=httpx.MockTransport(slowly))
    pool = Endpoints([slow, Served().client("gpu2")])
    async with pool.serving(await pool.identify("m")):
        for endpoint in [await pool.take(1), await pool.take(1)]:
            await pool.send(endpoint, ["x"])
        assert [(await pool.take(1)).url for _ in range(3)] == ["http://gpu2:11434"] * 3


async def test_a_dying_server_loses_nothing(trio: tuple[Double, ...]) -> None:
    with running(text_ms=1) as doomed:
        urls = [doomed.url, *(double.url for double in trio[:2])]
        async with pooled(*urls) as pool:
            batches, metrics = await embedded(pool, 1_500, at=300, then=doomed.kill)
    check(trio[0], batches, texts(1_500))
    assert metrics.endpoints[0].breaker.opened >= 1
    by_others = sum(embedded_by(*trio[:2])) - 2 * 4
    assert 1_500 - by_others > 0
    assert metrics.texts_sent - 1_500 <= 5 * 8 * BATCH


async def test_a_run_survives_all_but_one(trio: tuple[Double, ...]) -> None:
    with running(text_ms=1) as one, running(text_ms=1) as two:

        def kill() -> None:
            one.kill()
            two.kill()

        async with pooled(one.url, two.url, trio[0].url) as pool:
            batches, _ = await embedded(pool, 1_500, at=300, then=kill)
    check(trio[0], batches, texts(1_500))


async def test_a_server_that_comes_back_is_used_again(
    trio: tuple[Double, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    doomed, other, _ = trio
    async with pooled(doomed.url, other.url) as pool:

        def restart() -> None:
            doomed.break_by({"fault": "F20", "times": 1, "seconds": 0.4})

        batches, metrics = await embedded(pool, 3_000, at=300, then=restart)
    check(other, batches, texts(3_000))
    phases = [transition.phase for transition in metrics.endpoints[0].breaker.transitions]
    assert phases[0] is Phase.OPEN
    assert phases[-2:] == [Phase.HALF_OPEN, Phase.CLOSED]
    assert doomed.stats()["loads"] == 2
    assert doomed.stats()["texts_embedded"] > 600
    assert f"Breaker of {doomed.url} is closed: the canary was answered" in caplog.text


async def test_all_down_for_a_while_is_waited_for(trio: tuple[Double, ...]) -> None:
    one, two, _ = trio
    async with pooled(one.url, two.url) as pool:

        def restart() -> None:
            for double in (one, two):
                double.break_by({"fault": "F20", "times": 1, "seconds": 0.5})

        batches, metrics = await embedded(pool, 1_000, at=200, then=restart)
    check(one, batches, texts(1_000))
    assert all(state.breaker.opened >= 1 for state in metrics.endpoints)


async def test_all_down_beyond_the_deadline_keeps_what_is_embedded(
    trio: tuple[Double, ...],
) -> None:
    one, two, _ = trio
    batches: list[Vectors] = []
    async with pooled(one.url, two.url, deadline=0.6) as pool:
        stream = EmbeddingStream(
            pool, await pool.identify("all-minilm"), paged(texts(2_000)), batch_size=BATCH
        )
        for double in (one, two):
            double.break_by({"fault": "F20", "nth": [40], "seconds": 3})
        with pytest.raises(OllamaUnavailableError, match=r"no answer for 0\.6 s \(INGEST_DEADLINE"):
            await collect(stream, batches)
    ids = [chunk_id.int for vectors in batches for chunk_id in vectors.ids]
    assert len(ids) == len(set(ids)) == stream.metrics.texts_embedded > 300
    await until(lambda: all(map(answers, (one, two))))


def answers(double: Double) -> bool:
    try:
        double.stats()
    except OSError:
        return False
    except Exception as exc:
        return "refused" not in str(exc) and "reset" not in str(exc)
    return True


async def test_a_server_that_is_down_at_the_start_joins_later(
    trio: tuple[Double, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with running() as late:
        port = urlsplit(late.url).port or 0
        late.kill()
    async with pooled(trio[0].url, late.url) as pool:
        identity = await pool.identify("all-minilm")
        assert f"Breaker of {late.url} is open" in caplog.text
        assert pool.states()[1].breaker.phase is Phase.OPEN
        with running(port, text_ms=1) as late:
            stream = EmbeddingStream(pool, identity, paged(texts(2_000)), batch_size=BATCH)
            batches = [vectors async for vectors in stream]
            assert embedded_by(late)[0] > 200
    check(trio[0], batches, texts(2_000))


async def test_a_late_server_with_another_model_is_refused_and_the_run_goes_on(
    trio: tuple[Double, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with running() as late:
        port = urlsplit(late.url).port or 0
        late.kill()
    async with pooled(trio[0].url, late.url) as pool:
        identity = await pool.identify("all-minilm")
        with running(port, dimensions=768) as late:
            stream = EmbeddingStream(pool, identity, paged(texts(1_000)), batch_size=BATCH)
            batches = [vectors async for vectors in stream]
            assert embedded_by(late) == [0]
    check(trio[0], batches, texts(1_000))
    refused = stream.metrics.endpoints[1].refused
    assert late.url in refused
    assert trio[0].url in refused
    assert f"{late.url} is out of use for this run" in caplog.text


async def test_different_models_at_the_start_are_an_error(trio: tuple[Double, ...]) -> None:
    one, two, _ = trio
    two.reset(dimensions=768)
    async with pooled(one.url, two.url) as pool:
        with pytest.raises(ModelError) as caught:
            await pool.identify("all-minilm")
    assert one.url in str(caught.value)
    assert two.url in str(caught.value)


async def test_different_vectors_at_the_start_are_an_error() -> None:
    pool = Endpoints([Served().client("gpu1"), Served(canary=(0.6, 0.8)).client("gpu2")])
    async with pool.serving(await pool.identify("m")):
        with pytest.raises(ModelError, match="other vectors"):
            await pool.prove()


async def test_all_down_at_the_start_is_waited_for(trio: tuple[Double, ...]) -> None:
    trio[0].break_by({"fault": "F20", "path": "/api/version", "times": 1, "seconds": 0.4})
    ollama = Ollama(trio[0].url)
    async with Endpoints([ollama], deadline=10) as pool:
        assert (await pool.identify("all-minilm")).dimensions == 384


async def test_all_down_at_the_start_is_an_error_after_the_deadline() -> None:
    async with pooled("127.0.0.1:9", deadline=0.3) as pool:
        with pytest.raises(OllamaUnavailableError, match=r"no answer for 0\.3 s.*ollama serve"):
            await pool.identify("all-minilm")


async def test_a_server_that_refuses_for_good_leaves_the_work_to_the_others(
    trio: tuple[Double, ...],
) -> None:
    one, two, _ = trio
    async with pooled(one.url, two.url) as pool:
        batches, metrics = await embedded(
            pool, 1_000, at=200, then=lambda: one.break_by({"fault": "F15"})
        )
    check(two, batches, texts(1_000))
    assert "OLLAMA_API_KEY" in metrics.endpoints[0].refused
    assert metrics.endpoints[1].refused == ""


async def test_when_all_refuse_for_good_the_run_ends(trio: tuple[Double, ...]) -> None:
    def refuse() -> None:
        for double in trio[:2]:
            double.break_by({"fault": "F15"})

    async with pooled(*(double.url for double in trio[:2])) as pool:
        with pytest.raises(OllamaAuthError):
            await embedded(pool, 1_000, at=200, then=refuse)


async def test_a_missing_model_is_pulled_in_mid_run_where_that_is_allowed() -> None:
    served = Served()
    pool = Endpoints([served.client()], auto_pull=True, breaker_seconds=0.05)
    async with pool.serving(await pool.identify("m")):
        served.installed = False
        endpoint = await pool.take(1)
        with pytest.raises(ModelError):
            await pool.send(endpoint, ["x"])
        again = await pool.take(1)
    assert served.pulls == 1
    assert again.refused is None


async def test_flapping_servers_lose_nothing(trio: tuple[Double, ...]) -> None:
    for seed, double in enumerate(trio[:2]):
        double.break_by({"fault": "F2", "probability": 0.4, "seed": seed, "match": "th text"})
    async with pooled(*(double.url for double in trio[:2]), deadline=60) as pool:
        batches, metrics = await embedded(pool, 1_000)
    check(trio[0], batches, texts(1_000))
    assert metrics.retries > 5


async def test_cancelling_leaves_no_task(trio: tuple[Double, ...]) -> None:
    before = asyncio.all_tasks()
    async with pooled(*(double.url for double in trio), "127.0.0.1:9") as pool:
        identity = await pool.identify("all-minilm")
        stream = EmbeddingStream(pool, identity, paged(texts(5_000)), batch_size=BATCH)

        consumer = asyncio.create_task(collect(stream, []))
        await until(lambda: stream.metrics.texts_embedded > 100)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert asyncio.all_tasks() == before
        assert all(state.limiter.in_flight == 0 for state in pool.states())


@pytest.mark.parametrize(
    ("hosts", "message"), [([], "no server"), (["gpu1", "gpu2", "http://gpu1:11434/"], "twice")]
)
def test_the_list_of_servers_is_checked(hosts: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Endpoints([Ollama(host) for host in hosts])


async def test_a_lasting_error_of_one_server_at_the_start_leaves_it_out() -> None:
    missing = Served()
    missing.installed = False
    pool = Endpoints([missing.client("gpu2"), Served().client("gpu1")])
    async with pool.serving(await pool.identify("m")):
        await pool.prove()
        assert [(await pool.take(1)).url for _ in range(3)] == ["http://gpu1:11434"] * 3
    assert "ollama pull m" in pool.states()[0].refused


async def test_a_lasting_error_of_all_servers_at_the_start_is_raised() -> None:
    missing = Served()
    missing.installed = False
    pool = Endpoints([missing.client("gpu1"), missing.client("gpu2")])
    with pytest.raises(OllamaError, match=r"gpu1.*ollama pull m"):
        await pool.identify("m")


@pytest.mark.parametrize(
    "fault", ["F10", "F11", "F12", "F15", "F16", "F19", "F21"], ids=lambda fault: fault
)
async def test_a_server_that_is_bad_from_the_start_does_not_stop_the_others(
    fault: str, trio: tuple[Double, ...]
) -> None:
    bad, good, _ = trio
    bad.break_by({"fault": fault})
    async with pooled(bad.url, good.url) as pool:
        batches, _ = await embedded(pool, 200)
    check(good, batches, texts(200))
