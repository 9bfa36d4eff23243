import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress

import numpy as np
import pytest

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.embedding import shelf
from ingestion_assets.embedding.canary import CANARY, NEIGHBOURS
from ingestion_assets.embedding.endpoints import Endpoints
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.stream import EmbeddingStream
from ingestion_assets.embedding.trust import EVERY
from ingestion_assets.errors import (
    ModelError,
    ModelMismatchError,
    OllamaUnavailableError,
    StoreUnavailableError,
)
from ingestion_assets_tests.embedding.given import AT_ONCE, paged, text, texts
from ingestion_assets_tests.services.faulty_ollama import Double, running


async def embedded(
    double: Double, given: Sequence[Text], workers: int = 4, **options: int
) -> tuple[list[Vectors], EmbeddingStream]:
    async with Ollama(double.url) as ollama:
        flight = await ollama.identify("all-minilm")
        pool = Endpoints([ollama], workers=workers, max_workers=workers, breaker_seconds=0.1)
        stream = EmbeddingStream(pool, flight, paged(given), backoff=AT_ONCE, **options)
        return [vectors async for vectors in stream], stream


async def collect(stream: EmbeddingStream, batches: list[Vectors]) -> None:
    async for vectors in stream:
        batches.append(vectors)  # noqa: PERF401


def check(double: Double, batches: Sequence[Vectors], given: Sequence[Text]) -> None:
    """Every given text has exactly one vector, its own."""
    by_id = {t.chunk_id: t for t in given}
    ids = [chunk_id for vectors in batches for chunk_id in vectors.ids]
    assert len(ids) == len(by_id)
    assert set(ids) == set(by_id)
    for vectors in batches:
        own = [by_id[chunk_id] for chunk_id in vectors.ids]
        assert list(vectors.hashes) == [t.content_hash for t in own]
        assert all(map(np.array_equal, vectors.matrix, [double.vector(t.text) for t in own]))
        assert vectors.matrix.dtype == np.float32


async def test_every_text_gets_its_own_vector(faulty_ollama: Double) -> None:
    given = texts(2_000)
    batches, stream = await embedded(faulty_ollama, given)
    check(faulty_ollama, batches, given)
    metrics = stream.metrics
    assert (metrics.texts_sent, metrics.texts_embedded, metrics.requests) == (2_000, 2_000, 63)
    assert (metrics.retries, metrics.rejected, metrics.deferred) == (0, 0, 0)
    assert metrics.p95_ms >= metrics.p50_ms > 0
    assert set(faulty_ollama.stats()["repeated"]) == {CANARY, *NEIGHBOURS}


async def test_no_texts_make_no_requests(faulty_ollama: Double) -> None:
    batches, stream = await embedded(faulty_ollama, [])
    assert batches == []
    assert stream.metrics.requests == 0


async def test_batches_for_the_store_are_of_its_size_until_the_end_is_near(
    faulty_ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "STORE_SECONDS", 60)
    batches, _ = await embedded(faulty_ollama, texts(12_000), batch_size=50, workers=4)
    sizes = [len(vectors.ids) for vectors in batches]
    assert sizes[:2] == [5_000, 5_000]
    assert sum(sizes) == 12_000


async def test_only_what_was_not_checked_yet_is_left_to_store_at_the_end(
    faulty_ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "STORE_SECONDS", 60)
    faulty_ollama.reset(request_ms=10)
    batches, _ = await embedded(faulty_ollama, texts(3_000), batch_size=50, workers=1)
    assert len(batches) > 1
    assert len(batches[-1].ids) <= EVERY + 100


async def test_batches_for_the_store_are_bounded_in_bytes(
    faulty_ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "STORE_BYTES", 4 * 384 * 100)
    batches, _ = await embedded(faulty_ollama, texts(500), batch_size=10)
    assert max(len(vectors.ids) for vectors in batches) <= 100


async def test_progress_is_yielded_on_a_slow_server_too(
    faulty_ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "STORE_SECONDS", 0.05)
    faulty_ollama.reset(request_ms=60)
    batches, _ = await embedded(faulty_ollama, texts(8), batch_size=1, workers=1)
    assert len(batches) >= 3


async def test_workers_bound_the_requests_in_flight(faulty_ollama: Double) -> None:
    faulty_ollama.reset(rtt_ms=20)
    _, stream = await embedded(faulty_ollama, texts(40), batch_size=2, workers=3)
    assert faulty_ollama.stats()["max_in_flight"] == 3
    assert stream.metrics.concurrency == 3


async def test_a_twin_under_way_is_deferred(faulty_ollama: Double) -> None:
    given = [text(i, f"text {i % 10}") for i in range(40)]
    batches, stream = await embedded(faulty_ollama, given, batch_size=4)
    assert sum(len(vectors.ids) for vectors in batches) == 10
    assert stream.deferred == stream.metrics.deferred == 30


async def test_a_twin_of_a_committed_text_is_sent(
    faulty_ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "STORE_SECONDS", 0.05)
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        committed = threading.Event()
        pages = iter([[text(0, "same")], [text(1, "same")]])

        def read() -> Sequence[Text]:
            page = next(pages, [])
            if page and page[0].chunk_id.int == 1:
                committed.wait(10)
            return page

        stream = EmbeddingStream(ollama, flight, read, batch_size=1)
        ids = []
        async for vectors in stream:
            ids += [chunk_id.int for chunk_id in vectors.ids]
            asyncio.get_running_loop().call_later(0.05, committed.set)
    assert ids == [0, 1]
    assert stream.deferred == 0


async def test_poison_in_two_thousand_loses_only_itself(faulty_ollama: Double) -> None:
    bad = {3, 700, 701, 1999}
    faulty_ollama.break_by({"fault": "F10", "match": "poison"})
    given = texts(2_000, poison=bad)
    batches, stream = await embedded(faulty_ollama, given)
    check(faulty_ollama, batches, [t for t in given if t.chunk_id.int not in bad])
    assert {r.text.chunk_id.int for r in stream.rejected} == bad
    assert stream.metrics.rejected == 4


async def test_a_twin_of_a_rejected_text_is_not_sent(faulty_ollama: Double) -> None:
    faulty_ollama.break_by({"fault": "F10", "match": "poison"})
    given = [text(0, "poison"), *texts(200)[1:], text(200, "poison")]
    _, stream = await embedded(faulty_ollama, given, workers=1, batch_size=8)
    assert [r.text.chunk_id.int for r in stream.rejected] == [0]
    assert stream.deferred == 1


async def test_rejected_texts_are_to_be_had_with_each_batch(
    faulty_ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "STORE_SECONDS", 0.01)
    faulty_ollama.break_by({"fault": "F10", "match": "poison"})
    given = texts(40, poison=range(40))
    async with Ollama(faulty_ollama.url) as ollama:
        stream = EmbeddingStream(ollama, await ollama.identify("all-minilm"), paged(given))
        taken = []
        async for vectors in stream:
            assert vectors.matrix.shape == (0, 384)
            taken.append([r.text.chunk_id.int for r in stream.take_rejected()])
    assert len(taken) > 1
    assert sorted(n for some in taken for n in some) == list(range(40))
    assert stream.take_rejected() == []
    assert stream.metrics.rejected == 40


async def test_the_canary_is_known_with_the_first_batch(faulty_ollama: Double) -> None:
    _, stream = await embedded(faulty_ollama, texts(1))
    assert stream.canary is not None
    assert np.array_equal(stream.canary, faulty_ollama.vector(CANARY))


async def test_another_canary_than_in_an_earlier_run_ends_the_stream(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        stream = EmbeddingStream(ollama, await ollama.identify("all-minilm"), paged(texts(1)))
        stream.canary = faulty_ollama.vector("another text")
        with pytest.raises(ModelMismatchError, match="when the stored vectors were made"):
            _ = [vectors async for vectors in stream]
    assert faulty_ollama.stats()["repeated"].keys() <= {CANARY}


async def test_a_server_that_fails_now_and_then_loses_nothing(faulty_ollama: Double) -> None:
    faults = ("F2", "F3", "F6", "F7", "F8", "F11", "F13", "F14", "F19")
    faulty_ollama.break_by(
        *({"fault": f, "probability": 0.03, "seed": i, "match": "th"} for i, f in enumerate(faults))
    )
    given = texts(2_000)
    batches, stream = await embedded(faulty_ollama, given, batch_size=16)
    check(faulty_ollama, batches, given)
    assert stream.rejected == []
    assert stream.metrics.retries > 0


async def test_a_restarting_server_loses_nothing(faulty_ollama: Double) -> None:
    faulty_ollama.reset(request_ms=2)
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        faulty_ollama.break_by({"fault": "F20", "nth": [10], "seconds": 0.3})
        given = texts(1_000)
        pool = Endpoints([ollama], breaker_seconds=0.2)
        stream = EmbeddingStream(pool, flight, paged(given), batch_size=16)
        check(faulty_ollama, [vectors async for vectors in stream], given)
    assert faulty_ollama.stats()["loads"] == 2


async def test_what_was_embedded_is_yielded_before_the_error(faulty_ollama: Double) -> None:
    faulty_ollama.reset(text_ms=0.2)
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        faulty_ollama.break_by({"fault": "F17", "nth": [90]})
        stream = EmbeddingStream(ollama, flight, paged(texts(2_000)), batch_size=16)
        batches: list[Vectors] = []
        with pytest.raises(ModelError, match="ollama pull"):
            await collect(stream, batches)
    yielded = sum(len(vectors.ids) for vectors in batches)
    assert yielded == stream.metrics.texts_embedded
    assert yielded == faulty_ollama.stats()["texts_embedded"] - 4 - 2  # canaries
    assert yielded >= 86 * 16


async def test_requests_in_flight_end_in_peace_when_another_fails(faulty_ollama: Double) -> None:
    faulty_ollama.reset(rtt_ms=150, slots=8)
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        faulty_ollama.break_by({"fault": "F15", "match": "poison"})
        given = texts(4, poison=[3])
        stream = EmbeddingStream(ollama, flight, paged(given), batch_size=1, workers=4)
        batches: list[Vectors] = []
        with suppress(Exception):
            await collect(stream, batches)
    check(faulty_ollama, batches, given[:3])


async def test_a_hanging_request_is_cut_off_when_another_fails(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        before = asyncio.all_tasks()
        flight = await ollama.identify("all-minilm")
        faulty_ollama.break_by(
            {"fault": "F15", "match": "poison"}, {"fault": "F18", "match": "th text"}
        )
        stream = EmbeddingStream(
            ollama, flight, paged(texts(4, poison=[0])), batch_size=1, grace=0.1
        )
        with pytest.raises(Exception, match="OLLAMA_API_KEY"):
            _ = [vectors async for vectors in stream]
        assert asyncio.all_tasks() == before


async def test_a_dead_server_is_an_error_after_the_deadline() -> None:
    with running() as double:
        async with Ollama(double.url) as ollama:
            flight = await ollama.identify("all-minilm")
            double.kill()
            pool = Endpoints([ollama], breaker_seconds=0.1, deadline=0.5)
            stream = EmbeddingStream(pool, flight, paged(texts(200)), backoff=AT_ONCE)
            with pytest.raises(OllamaUnavailableError, match=r"for 0\.5 s.*cannot connect"):
                _ = [vectors async for vectors in stream]
    assert stream.metrics.texts_embedded == 0


async def test_an_error_of_the_pages_is_raised_after_what_was_embedded(
    faulty_ollama: Double,
) -> None:
    pages = paged(texts(100), 100)

    def read() -> Sequence[Text]:
        page = pages()
        if not page:
            raise StoreUnavailableError("connection lost")
        return page

    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        stream = EmbeddingStream(ollama, flight, read, batch_size=10)
        batches: list[Vectors] = []
        with pytest.raises(StoreUnavailableError):
            await collect(stream, batches)
    check(faulty_ollama, batches, texts(100))


async def test_cancelling_the_consumer_leaves_no_task(faulty_ollama: Double) -> None:
    faulty_ollama.reset(text_ms=50)
    async with Ollama(faulty_ollama.url) as ollama:
        before = asyncio.all_tasks()
        flight = await ollama.identify("all-minilm")
        stream = EmbeddingStream(ollama, flight, paged(texts(1_000)))

        consumer = asyncio.create_task(collect(stream, []))
        await until(lambda: stream.metrics.concurrency > 0)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert asyncio.all_tasks() == before
        await until(lambda: faulty_ollama.stats()["in_flight"] == 0)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to hold")


async def test_a_consumer_that_stops_early_leaves_no_task(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        before = asyncio.all_tasks()
        flight = await ollama.identify("all-minilm")
        stream = EmbeddingStream(ollama, flight, paged(texts(20_000)), batch_size=500)
        async with aclosing(aiter(stream)) as batches:
            await anext(batches)
        assert asyncio.all_tasks() == before


async def test_a_slow_consumer_holds_the_stream_back(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        stream = EmbeddingStream(ollama, flight, paged(texts(40_000)), batch_size=500)
        async with aclosing(aiter(stream)) as batches:
            await anext(batches)
            before = -1
            while before != stream.metrics.texts_sent:
                before = stream.metrics.texts_sent
                await asyncio.sleep(0.3)
    assert before <= 2 * shelf.STORE_ROWS + 2 * 4 * 500 + EVERY
    assert before < 40_000


async def test_requests_go_on_while_the_consumer_stores(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        stream = EmbeddingStream(ollama, flight, paged(texts(9_000)), batch_size=500)
        async with aclosing(aiter(stream)) as batches:
            await anext(batches)
            await until(lambda: stream.metrics.texts_embedded == 9_000)


async def test_nothing_to_embed_sends_nothing(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        stream = EmbeddingStream(ollama, await ollama.identify("all-minilm"), list)
        assert [vectors async for vectors in stream] == []
    assert faulty_ollama.stats()["texts_seen"] == 0
    assert faulty_ollama.stats()["loads"] == 0
