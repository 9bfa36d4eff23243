import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from ingestion_assets.changes import Text
from ingestion_assets.embedding.delivery import Backoff, Delivery, Embedded, Rejected
from ingestion_assets.embedding.ollama import CANARY, Ollama
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.errors import (
    ModelError,
    OllamaAnswerError,
    OllamaBusyError,
    OllamaUnavailableError,
    PoisonTextError,
    RequestTooLargeError,
    TextTooLongError,
)
from ingestion_assets_tests.embedding.given import AT_ONCE, text, texts
from ingestion_assets_tests.services.faulty_ollama import Double

AT = "http://127.0.0.1:11434"


@pytest.fixture
async def ollama(faulty_ollama: Double) -> AsyncIterator[Ollama]:
    async with Ollama(faulty_ollama.url, timeout=2) as ollama:
        yield ollama


async def delivered(
    ollama: Ollama, batch: Sequence[Text], backoff: Backoff = AT_ONCE, retries: int = 2
) -> tuple[dict[int, list[float]], list[Rejected], Stats]:
    stats = Stats()
    flight = await ollama.identify("all-minilm")
    await ollama.prove(flight)
    delivery = Delivery(
        ollama, flight, asyncio.Semaphore(1), retries=retries, backoff=backoff, stats=stats
    )
    vectors: dict[int, list[float]] = {}
    rejected = []
    async for outcome in delivery.embed(batch):
        if isinstance(outcome, Embedded):
            for t, row in zip(outcome.texts, outcome.matrix.tolist(), strict=True):
                assert t.chunk_id.int not in vectors
                vectors[t.chunk_id.int] = row
        else:
            rejected.append(outcome)
    return vectors, rejected, stats


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


async def test_no_text_is_blamed_while_a_harmless_one_fails_too(
    faulty_ollama: Double, ollama: Ollama
) -> None:
    dead_from_then_on = {"fault": "F11", "variant": "state", "match": "th text", "times": 1}
    faulty_ollama.break_by(dead_from_then_on)
    with pytest.raises(OllamaUnavailableError, match="`ollama stop all-minilm`"):
        await delivered(ollama, texts(8))


async def test_retries_end_and_the_error_is_raised(faulty_ollama: Double, ollama: Ollama) -> None:
    faulty_ollama.break_by({"fault": "F8", "match": "th text"}, {"fault": "F8", "nth": [4]})
    with pytest.raises(OllamaUnavailableError, match="signal: killed"):
        await delivered(ollama, texts(4), retries=3)
    assert faulty_ollama.stats()["requests"]["/api/embed"] == 3 + 4 + 1


async def test_what_cannot_be_cured_is_not_retried(faulty_ollama: Double, ollama: Ollama) -> None:
    faulty_ollama.break_by({"fault": "F17", "match": "th text"})
    with pytest.raises(ModelError, match="ollama pull"):
        await delivered(ollama, texts(4))
    assert faulty_ollama.stats()["requests"]["/api/embed"] == 4


async def test_pauses_grow_and_retry_after_is_kept(faulty_ollama: Double, ollama: Ollama) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    slow = {"fault": "F14", "status": 429, "retry_after": "7", "times": 1, "match": "th text"}
    faulty_ollama.break_by(
        {"fault": "F8", "times": 3, "match": "th text"},
        {"fault": "F13", "times": 1, "match": "th text"},
        slow,
    )
    _, _, stats = await delivered(ollama, texts(4), Backoff(sleep, lambda: 0.5), retries=3)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 7.0]
    assert stats.retries == 5


def test_a_busy_server_is_given_a_second_at_least() -> None:
    backoff = Backoff(random=lambda: 0.0)
    assert backoff.pause(1, OllamaBusyError(AT, "busy")) == 1.0
    assert backoff.pause(1, OllamaAnswerError(AT, "broken")) == 0.0
    assert Backoff(random=lambda: 1.0).pause(5000, OllamaAnswerError(AT, "broken")) == 30.0


async def test_a_permit_is_free_while_a_batch_waits(faulty_ollama: Double, ollama: Ollama) -> None:
    flight = await ollama.identify("all-minilm")
    await ollama.prove(flight)
    permits = asyncio.Semaphore(1)
    locked: list[bool] = []

    async def sleep(_: float) -> None:
        locked.append(permits.locked())

    faulty_ollama.break_by({"fault": "F8", "times": 2})
    delivery = Delivery(ollama, flight, permits, retries=2, backoff=Backoff(sleep), stats=Stats())
    outcomes = [outcome async for outcome in delivery.embed(texts(1))]
    assert locked == [False, False]
    assert np.concatenate([o.matrix for o in outcomes if isinstance(o, Embedded)]).shape == (1, 384)


async def test_the_canary_is_no_text_of_the_batch(faulty_ollama: Double, ollama: Ollama) -> None:
    faulty_ollama.break_by({"fault": "F10", "match": "poison"})
    await delivered(ollama, texts(2, poison=[1]))
    assert set(faulty_ollama.stats()["repeated"]) == {CANARY}
