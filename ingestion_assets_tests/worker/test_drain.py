"""A drain over a queue in memory and the double of Ollama."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from uuid import UUID

import pytest

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.errors import (
    MixedVectorsError,
    NoServerError,
    OllamaAuthError,
    StoreError,
    StoreUnavailableError,
)
from ingestion_assets.metrics import EmbeddingMetrics
from ingestion_assets.settings import Settings
from ingestion_assets.store.claims import Depth
from ingestion_assets.store.ledger import Failed
from ingestion_assets.worker.drain import Drain, Manner
from ingestion_assets.worker.embedder import Embedder, open_servers
from ingestion_assets.worker.pace import Pace
from ingestion_assets.worker.patience import Patience
from ingestion_assets_tests.services.faulty_ollama import Double


class Shelf:
    """A queue in memory; its calls fail as often as they are told to."""

    name = "shelf"
    channels = ("shelf",)

    def __init__(self, texts: Sequence[str]) -> None:
        self.waiting = [_text(i, content) for i, content in enumerate(texts)]
        self.held: dict[UUID, Text] = {}
        self.vectors: dict[str, Sequence[float]] = {}
        self.failed: dict[str, Failed] = {}
        self.claims: list[int] = []
        self.commits = 0
        self.away: dict[str, list[StoreError]] = {}

    def claim(self, limit: int) -> list[Text]:
        self.claims.append(limit)
        page, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.held |= {text.chunk_id: text for text in page}
        self._fail("claim")  # after it was committed, as a lost connection may
        return page

    def complete(self, vectors: Vectors) -> int:
        self._fail("complete")
        self.commits += 1
        for chunk_id, vector in zip(vectors.ids, vectors.matrix.tolist(), strict=True):
            self.vectors[self.held.pop(chunk_id).text] = vector
        return len(vectors.ids)

    def fail(self, failures: Sequence[Failed]) -> None:
        for failure in failures:
            self.failed[self.held.pop(failure.chunk_id).text] = failure

    def renew(self) -> None: ...

    def release(self) -> None:
        self.waiting += self.held.values()
        self.held.clear()

    def depth(self) -> Depth:
        return Depth(len(self.waiting), len(self.held), len(self.failed), 0, 0.0)

    def _fail(self, call: str) -> None:
        if errors := self.away.get(call):
            raise errors.pop()


def _text(n: int, content: str) -> Text:
    return Text(UUID(int=n), blake2b(content.encode(), digest_size=16).digest(), content, 8)


def _texts(n: int) -> list[str]:
    return [f"the {i}th text of many" for i in range(n)]


@asynccontextmanager
async def _embedder(double: Double, deadline: float, **changed: int) -> AsyncIterator[Embedder]:
    settings = Settings(**{"worker_backfill_batch": 32, **changed})  # type: ignore[arg-type]
    async with open_servers(settings, [double.url], deadline) as servers:
        model = await servers.identify("all-minilm")
        async with servers.serving(model):
            yield Embedder(servers, settings, lambda _: asyncio.sleep(0))


async def _drain(
    shelf: Shelf,
    double: Double,
    *,
    ending: asyncio.Event | None = None,
    deadline: float = 30,
    **changed: int,
) -> EmbeddingMetrics:
    metrics = EmbeddingMetrics()
    manner = Manner(10, 32, Pace(0), Patience(30), ending or asyncio.Event(), waited_for=True)
    async with _embedder(double, deadline, **changed) as embedder:
        await Drain(shelf, embedder, manner, metrics).run()
    return metrics


def _is_right(shelf: Shelf, double: Double) -> bool:
    return all(
        max(abs(a - b) for a, b in zip(vector, double.vector(text), strict=True)) < 1e-5
        for text, vector in shelf.vectors.items()
    )


async def test_every_text_gets_its_own_vector(double: Double):
    shelf = Shelf(_texts(300))
    metrics = await _drain(shelf, double)
    assert shelf.vectors.keys() == set(_texts(300))
    assert _is_right(shelf, double)
    assert metrics.texts_embedded() == 300
    assert double.stats()["repeated"].keys().isdisjoint(_texts(300))


async def test_little_goes_in_a_small_request_and_much_in_large_ones_at_once(double: Double):
    double.reset(request_ms=30, slots=8)
    little, much = Shelf(_texts(9)), Shelf(_texts(400))
    await _drain(little, double)
    assert little.claims == [10, 10]
    await _drain(much, double)
    assert much.claims[:2] == [10, 128]
    stats = double.stats()
    assert stats["max_in_flight"] > 1
    assert stats["requests"]["/api/embed"] < 409 / 10


async def test_what_is_embedded_together_is_committed_together(double: Double):
    shelf = Shelf(_texts(3000))
    await _drain(shelf, double, worker_backfill_batch=16)
    assert shelf.commits < 3000 / 16


async def test_a_bad_text_is_isolated_and_its_neighbours_are_stored(double: Double):
    double.break_by({"fault": "F10", "match": "poison"})
    shelf = Shelf([*_texts(40), "poison"])
    await _drain(shelf, double)
    assert shelf.vectors.keys() == set(_texts(40))
    assert shelf.failed.keys() == {"poison"}
    assert shelf.failed["poison"].quarantined


async def test_a_server_that_refuses_is_raised_and_written_down_for_later(double: Double):
    async with _embedder(double, 30) as embedder:
        shelf, metrics = Shelf(_texts(9)), EmbeddingMetrics()
        manner = Manner(10, 32, Pace(0), Patience(30), asyncio.Event(), waited_for=True)
        await Drain(shelf, embedder, manner, metrics).run()
        double.break_by({"fault": "F15"})
        later = Shelf(_texts(9))
        with pytest.raises(OllamaAuthError):
            await Drain(later, embedder, manner, metrics).run()
    assert len(later.failed) == 9
    assert not any(failure.quarantined for failure in later.failed.values())


async def test_an_outage_gives_back_what_was_claimed(double: Double):
    shelf = Shelf(_texts(500))
    double.break_by({"fault": "F2", "after": 5})
    with pytest.raises(NoServerError):
        await _drain(shelf, double, deadline=1, breaker_failures=1)
    assert not shelf.held
    assert not shelf.failed
    assert len(shelf.waiting) == 500 - len(shelf.vectors)


async def test_a_commit_is_repeated_while_postgres_is_away(double: Double):
    shelf = Shelf(_texts(5))
    shelf.away["complete"] = [StoreUnavailableError("away"), StoreUnavailableError("away")]
    await _drain(shelf, double)
    assert len(shelf.vectors) == 5
    assert double.stats()["texts_seen"] < 5 + 10  # they were not sent again


async def test_a_claim_whose_answer_was_lost_is_given_back(double: Double):
    shelf = Shelf(_texts(25))
    shelf.away["claim"] = [StoreUnavailableError("away")]
    await _drain(shelf, double)
    assert not shelf.held
    assert len(shelf.waiting) == 10


async def test_a_store_that_refuses_is_raised_and_nothing_stays_in_hand(double: Double):
    shelf = Shelf(_texts(50))
    shelf.away["complete"] = [StoreError("no such table")] * 99
    with pytest.raises(StoreError, match="no such table"):
        await _drain(shelf, double)
    assert not shelf.held


async def test_vectors_of_a_server_that_mixes_them_up_are_not_stored(double: Double):
    double.break_by({"fault": "F21", "batch": 2, "after": 2})
    shelf = Shelf(_texts(300))
    with pytest.raises(MixedVectorsError):
        await _drain(shelf, double)
    assert _is_right(shelf, double)
    assert not shelf.held


async def test_nothing_is_claimed_once_it_is_to_end(double: Double):
    ending = asyncio.Event()
    ending.set()
    shelf = Shelf(_texts(50))
    await _drain(shelf, double, ending=ending)
    assert not shelf.claims
