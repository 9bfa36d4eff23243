import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import numpy as np
import orjson
import pytest

from ingestion_assets.changes import Text
from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.batch_size import BatchSize
from ingestion_assets.embedding.canary import CANARY, NEIGHBOURS
from ingestion_assets.embedding.delivery import Delivery, Embedded, Rejected
from ingestion_assets.embedding.endpoints import Endpoints
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.errors import (
    ModelError,
    OllamaUnavailableError,
    PoisonTextError,
    RequestTooLargeError,
    RetryBudgetError,
    TextTooLongError,
    WrongDimensionsError,
)
from ingestion_assets_tests.embedding.given import AT_ONCE, text, texts
from ingestion_assets_tests.embedding.served import Served
from ingestion_assets_tests.services.faulty_ollama import Double


@pytest.fixture
async def ollama(faulty_ollama: Double) -> AsyncIterator[Ollama]:
    async with Ollama(faulty_ollama.url, timeout=2) as ollama:
        yield ollama


async def delivered(
    ollama: Ollama, batch: Sequence[Text], backoff: Backoff = AT_ONCE, retries: int = 2
) -> tuple[dict[int, list[float]], list[Rejected], Stats]:
    stats = Stats()
    vectors: dict[int, list[float]] = {}
    rejected = []
    async with serving(ollama) as pool:
        delivery = delivery_of(pool, retries=retries, backoff=backoff, stats=stats)
        async for outcome in delivery.embed(batch):
            if isinstance(outcome, Embedded):
                for t, row in zip(outcome.texts, outcome.matrix.tolist(), strict=True):
                    assert t.chunk_id.int not in vectors
                    vectors[t.chunk_id.int] = row
            else:
                rejected.append(outcome)
    return vectors, rejected, stats


def delivery_of(
    pool: Endpoints,
    retries: int = 2,
    backoff: Backoff = AT_ONCE,
    size: BatchSize | None = None,
    stats: Stats | None = None,
) -> Delivery:
    return Delivery(
        pool, size=size or BatchSize(), retries=retries, backoff=backoff, stats=stats or Stats()
    )


@asynccontextmanager
async def serving(
    ollama: Ollama, deadline: float = 0.5, model: str = "all-minilm"
) -> AsyncIterator[Endpoints]:
    pool = Endpoints([ollama], workers=1, max_workers=1, breaker_seconds=0.1, deadline=deadline)
    async with pool.serving(await pool.identify(model)):
        await pool.prove()
        yield pool


def expected(double: Double, batch: Sequence[Text]) -> dict[int, list[float]]:
    return {t.chunk_id.int: double.vector(t.text).tolist() for t in batch}


async def test_a_good_batch_is_one_request(faulty_ollama: Double, ollama: Ollama) -> None:
    batch = texts(32)
    vectors, rejected, stats = await delivered(ollama, batch)
    assert vectors == expected(faulty_ollama, batch)
    assert (rejected, stats.requests, stats.texts) == ([], 1, 32)


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "F2"},
        {"fault": "F3"},
        {"fault": "F3", "variant": "chunked"},
        {"fault": "F6"},
        {"fault": "F7"},
        {"fault": "F8"},
        {"fault": "F12", "variant": "missing"},
        {"fault": "F12", "variant": "extra"},
        {"fault": "F12", "variant": "dimension"},
        {"fault": "F12", "variant": "null"},
        {"fault": "F12", "variant": "empty"},
        {"fault": "F11", "match": "7th"},
        {"fault": "F13"},
        {"fault": "F14", "status": 429},
        {"fault": "F14", "status": 504},
        {"fault": "F19"},
    ],
    ids=str,
)
async def test_a_fault_that_passes_costs_no_text(
    faulty_ollama: Double, ollama: Ollama, fault: dict[str, object]
) -> None:
    faulty_ollama.break_by({"match": "th text", "times": 1, **fault})
    batch = texts(32)
    vectors, rejected, _ = await delivered(ollama, batch)
    assert vectors == expected(faulty_ollama, batch)
    assert rejected == []


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("F6", 0, PoisonTextError),
        ("F9", 0, PoisonTextError),
        ("F10", 0, PoisonTextError),
        ("F11", 0, PoisonTextError),
        ("F14", 413, RequestTooLargeError),
        ("F14", 500, PoisonTextError),
        ("F16", 0, TextTooLongError),
    ],
)
async def test_a_bad_text_is_rejected_and_its_neighbours_embedded(
    faulty_ollama: Double, ollama: Ollama, fault: str, status: int, kind: type[Exception]
) -> None:
    faulty_ollama.break_by({"fault": fault, "match": "poison", "status": status})
    batch = texts(32, poison=[13])
    vectors, rejected, stats = await delivered(ollama, batch)
    assert vectors == expected(faulty_ollama, [t for t in batch if t.chunk_id.int != 13])
    assert [(r.text, type(r.error)) for r in rejected] == [(batch[13], kind)]
    if status != 500:
        assert stats.requests <= 2 * 5 + 1 + 2


@pytest.mark.parametrize(
    ("rule", "seconds"),
    [
        ({"fault": "F6"}, 2),
        ({"fault": "F8"}, 2),
        ({"fault": "F14", "status": 500}, 2),
        ({"fault": "F12", "variant": "missing"}, 2),
        ({"fault": "F18"}, 0.1),
    ],
    ids=str,
)
async def test_one_bad_text_costs_two_requests_per_halving_and_few_more(
    faulty_ollama: Double, rule: dict[str, object], seconds: float
) -> None:
    faulty_ollama.break_by({"match": "poison", **rule})
    batch = texts(64, poison=[13])
    async with Ollama(faulty_ollama.url, timeout=seconds) as ollama:
        vectors, rejected, stats = await delivered(ollama, batch, retries=4)
    assert vectors == expected(faulty_ollama, [t for t in batch if t.chunk_id.int != 13])
    assert [r.text for r in rejected] == [batch[13]]
    halvings = 6
    assert stats.requests <= 1 + 2 * halvings + 5
    canaries = faulty_ollama.stats()["requests"]["/api/embed"] - stats.requests - 3
    assert canaries <= halvings + 5


async def test_dimensions_that_changed_end_the_run_at_the_third_answer(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    faulty_ollama.break_by({"fault": "F12", "variant": "dimension", "match": "th text"})
    with pytest.raises(WrongDimensionsError, match="383 dimensions instead of 384"):
        await delivered(ollama, texts(32))
    assert faulty_ollama.stats()["requests"]["/api/embed"] == 3 + 3


async def test_a_server_that_fails_every_other_request_is_given_up(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    faulty_ollama.break_by({"fault": "F14", "match": "th text", "nth": list(range(1, 1000, 2))})
    done: list[Embedded | Rejected] = []
    async with serving(ollama) as pool:
        with pytest.raises(RetryBudgetError, match="had to be repeated"):
            await embed_again_and_again(delivery_of(pool), done)
    assert all(isinstance(outcome, Embedded) for outcome in done)
    assert 50 < len(done) < 100


async def test_a_server_that_fails_one_request_in_ten_is_not_given_up(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    faulty_ollama.break_by({"fault": "F14", "match": "th text", "nth": list(range(1, 1000, 10))})
    async with serving(ollama) as pool:
        done: list[Embedded | Rejected] = []
        await embed_again_and_again(delivery_of(pool), done)
    assert len(done) == 600


async def embed_again_and_again(delivery: Delivery, done: list[Embedded | Rejected]) -> None:
    for _ in range(600):
        done += [outcome async for outcome in delivery.embed(texts(2))]


async def test_a_text_is_tried_without_control_characters(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    faulty_ollama.break_by({"fault": "F10", "match": "\x07"})
    batch = [text(0), text(1, "poison\x07  text"), text(2)]
    vectors, rejected, stats = await delivered(ollama, batch)
    assert rejected == []
    assert vectors == expected(faulty_ollama, [text(0), text(1, "poison text"), text(2)])
    assert stats.altered == 1


async def test_a_text_that_is_still_bad_without_them_is_rejected(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    faulty_ollama.break_by({"fault": "F10", "match": "poison"})
    _, rejected, stats = await delivered(ollama, [text(1, "poison\x07")])
    assert [r.text.chunk_id.int for r in rejected] == [1]
    assert (stats.requests, stats.altered) == (3, 0)


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_text_is_tried_without_a_gpu_where_that_is_allowed(allowed: bool) -> None:
    vectors = {CANARY: [1.0, 0.0, 0.0], NEIGHBOURS[0]: [0.0, 1.0, 0.0]}

    def answer(request: httpx.Request) -> httpx.Response:
        asked = orjson.loads(request.content) if request.content else {}
        if "poison" in str(asked.get("input")) and "num_gpu" not in asked["options"]:
            return httpx.Response(400, json={"error": "embedding contains NaN or Inf values"})
        if request.url.path != "/api/embed":
            return served.answer(request)
        rows = [vectors.get(t, [0.0, 0.0, 1.0]) for t in asked["input"]]
        return httpx.Response(200, json={"embeddings": rows})

    served = Served(canary=(1.0, 0.0, 0.0))
    ollama = Ollama("gpu1", transport=httpx.MockTransport(answer), cpu_retry=allowed)
    async with serving(ollama, model="m") as pool:
        stats = Stats()
        batch = texts(4, poison=[2])
        outcomes = [o async for o in delivery_of(pool, stats=stats).embed(batch)]
    rejected = [o.text.chunk_id.int for o in outcomes if isinstance(o, Rejected)]
    assert (rejected, stats.altered) == (([], 1) if allowed else ([2], 0))


async def test_a_text_over_the_context_is_rejected(faulty_ollama: Double, ollama: Ollama) -> None:
    batch = [*texts(7), text(7, "word " * 300)]
    vectors, rejected, _ = await delivered(ollama, batch)
    assert vectors == expected(faulty_ollama, batch[:7])
    assert isinstance(rejected[0].error, TextTooLongError)


async def test_a_text_that_is_no_unicode_is_rejected(faulty_ollama: Double, ollama: Ollama) -> None:
    batch = [text(0), text(1, "bad \ud800"), text(2)]
    vectors, rejected, _ = await delivered(ollama, batch)
    assert sorted(vectors) == [0, 2]
    assert [r.text for r in rejected] == [batch[1]]


@pytest.mark.parametrize("fault", ["F8", "F10", "F16"])
async def test_no_text_is_blamed_while_a_harmless_one_fails_too(
    faulty_ollama: Double, ollama: Ollama, fault: str
) -> None:
    faulty_ollama.break_by(
        {"fault": fault, "match": "th text"},
        {"fault": fault, "match": CANARY, "nth": list(range(3, 1000))},
    )
    with pytest.raises(OllamaUnavailableError, match=r"no answer for 0\.5 s"):
        await delivered(ollama, texts(8))


async def test_a_runner_with_dead_vectors_is_reloaded(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    dead_from_then_on = {"fault": "F11", "variant": "state", "match": "th text", "times": 1}
    faulty_ollama.break_by(dead_from_then_on)
    batch = texts(8)
    vectors, rejected, _ = await delivered(ollama, batch)
    assert vectors == expected(faulty_ollama, batch)
    assert rejected == []
    assert faulty_ollama.stats()["loads"] == 2


async def test_a_list_that_stays_dead_is_not_rejected_as_a_whole(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    faulty_ollama.break_by({"fault": "F11", "match": "th text", "times": 3})
    batch = texts(32)
    vectors, rejected, _ = await delivered(ollama, batch)
    assert vectors == expected(faulty_ollama, batch)
    assert rejected == []


async def test_a_reload_in_vain_is_not_repeated(faulty_ollama: Double, ollama: Ollama) -> None:
    faulty_ollama.break_by({"fault": "F11", "match": "poison"})
    batch = texts(32, poison=[3, 20])
    halves = batch[:16], batch[16:]
    stats, rejected = Stats(), []
    async with serving(ollama) as pool:
        delivery = delivery_of(pool, stats=stats)
        for half in halves:
            rejected += [o async for o in delivery.embed(half) if isinstance(o, Rejected)]
    assert [r.text for r in rejected] == [batch[3], batch[20]]
    assert faulty_ollama.stats()["loads"] == 2


async def test_a_text_that_kills_the_runner_does_not_open_the_breaker(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    faulty_ollama.break_by({"fault": "F8", "match": "poison"})
    async with serving(ollama) as pool:
        outcomes = [o async for o in delivery_of(pool, retries=4).embed(texts(8, poison=[5]))]
        assert pool.states()[0].breaker.opened == 0
    assert [o.text.chunk_id.int for o in outcomes if isinstance(o, Rejected)] == [5]


async def test_a_runner_that_is_not_reached_gets_smaller_batches(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    faulty_ollama.break_by({"fault": "F7", "batch": 17})
    size, stats = BatchSize(32), Stats()
    async with serving(ollama) as pool:
        outcomes = [o async for o in delivery_of(pool, size=size, stats=stats).embed(texts(32))]
    assert [len(o.texts) for o in outcomes if isinstance(o, Embedded)] == [16, 16]
    assert stats.requests == 2 + 2
    assert size.size < 32


async def test_a_request_that_times_out_twice_is_halved(faulty_ollama: Double) -> None:
    faulty_ollama.break_by({"fault": "F4", "batch": 17, "seconds": 9})
    async with Ollama(faulty_ollama.url, timeout=0.1) as ollama, serving(ollama) as pool:
        outcomes = [o async for o in delivery_of(pool).embed(texts(32))]
        assert pool.states()[0].limiter.backoffs >= 1
    assert [len(o.texts) for o in outcomes if isinstance(o, Embedded)] == [16, 16]


async def test_what_cannot_be_cured_is_not_retried(faulty_ollama: Double, ollama: Ollama) -> None:
    faulty_ollama.break_by({"fault": "F17", "match": "th text"})
    with pytest.raises(ModelError, match="ollama pull"):
        await delivered(ollama, texts(4))
    assert faulty_ollama.stats()["requests"]["/api/embed"] == 4


async def test_pauses_grow_with_every_failure(faulty_ollama: Double, ollama: Ollama) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    faulty_ollama.break_by(
        {"fault": "F8", "times": 3, "match": "th text"},
        {"fault": "F13", "times": 1, "match": "th text"},
    )
    _, _, stats = await delivered(ollama, texts(1), Backoff(sleep, lambda: 0.5), retries=3)
    assert pauses == [0.25, 0.5, 1.0, 2.0]
    assert stats.retries == 4


async def test_retry_after_is_honoured(faulty_ollama: Double, ollama: Ollama) -> None:
    slow = {"fault": "F14", "status": 429, "retry_after": "1", "times": 1, "match": "th text"}
    faulty_ollama.break_by(slow)
    async with serving(ollama, deadline=5) as pool:
        started = time.monotonic()
        outcomes = [o async for o in delivery_of(pool).embed(texts(4))]
        waited = time.monotonic() - started
        assert pool.states()[0].rate_limit_hits == 1
    assert [len(o.texts) for o in outcomes if isinstance(o, Embedded)] == [4]
    assert waited >= 1


async def test_a_permit_is_free_while_a_batch_waits(faulty_ollama: Double, ollama: Ollama) -> None:
    in_flight: list[int] = []
    faulty_ollama.break_by({"fault": "F8", "times": 2, "match": "th text"})
    async with serving(ollama) as pool:

        async def sleep(_: float) -> None:
            in_flight.append(pool.states()[0].limiter.in_flight)

        delivery = delivery_of(pool, backoff=Backoff(sleep))
        outcomes = [outcome async for outcome in delivery.embed(texts(1))]
    assert in_flight == [0, 0]
    assert np.concatenate([o.matrix for o in outcomes if isinstance(o, Embedded)]).shape == (1, 384)


async def test_the_canary_is_no_text_of_the_batch(faulty_ollama: Double, ollama: Ollama) -> None:
    faulty_ollama.break_by({"fault": "F10", "match": "poison"})
    await delivered(ollama, texts(2, poison=[1]))
    assert set(faulty_ollama.stats()["repeated"]) == {CANARY}
