"""A run shares its partition with live workers, and gives back what it does not embed."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.defs.drain import drain
from ingestion_assets.embedding import EmbeddingStream, Endpoints, Ollama
from ingestion_assets.errors import OllamaUnavailableError, StoreUnavailableError
from ingestion_assets.retrieval.recipes import recipe
from ingestion_assets.store import claims
from ingestion_assets.store.claims import Depth
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, open_generation
from ingestion_assets.store.writers import EmbeddingsWriter
from ingestion_assets_tests.services.faulty_ollama import Double
from ingestion_assets_tests.store import rows

N = 40


@dataclass
class Partition:
    """A partition of 40 chunks, and the server to embed them."""

    database: str
    connection: Connection
    ollama: Double
    generation: Generation

    async def run(self, *, every: float = 20.0) -> dict[str, int]:
        """What the asset and its IO manager do."""
        async with Ollama(self.ollama.url) as ollama:
            pool = Endpoints([ollama], workers=1, max_workers=1, deadline=0.5)
            model = await pool.identify("all-minilm")
            with connect(self.database) as own, connect(self.database) as renewing:
                pages = claims.pages(lambda: connect(self.database), self.generation, rows.KEY)
                stream = EmbeddingStream(pool, model, lambda: next(pages, []), batch_size=8)
                writer = EmbeddingsWriter(own, rows.KEY, self.generation)
                renew = partial(claims.renew, renewing, writer.owner)
                return await drain(stream, writer, renew, every=every)

    def claim(self, limit: int = 5) -> list[Text]:
        return claims.claim(self.connection, self.generation, "worker", limit=limit)

    def complete(self, texts: list[Text]) -> None:
        """Store the server's vectors of some texts."""
        model = self.ollama.vector
        vectors = Vectors(
            [text.chunk_id for text in texts],
            [text.content_hash for text in texts],
            np.array([model(text.text) for text in texts]),
        )
        claims.complete(self.connection, self.generation, vectors)

    def sent_twice(self) -> list[str]:
        """Texts of chunks; the canaries are others."""
        return [text for text in self.ollama.stats()["repeated"] if text.startswith("text")]

    def depth(self) -> Depth:
        return claims.depth(self.connection, self.generation)


@pytest.fixture
def partition(database: str, ollama: Double) -> Iterator[Partition]:
    async def identify() -> Generation:
        async with Ollama(ollama.url) as client:
            model = await Endpoints([client]).identify("all-minilm")
            return open_generation(connection, recipe(model))

    with connect(database) as connection:
        generation = asyncio.run(identify())
        rows.store(connection, "a.md", [f"text {i}" for i in range(N)])
        yield Partition(database, connection, ollama, generation)


def _soon(work: Callable[[], object]) -> threading.Thread:
    """Do it when the run has nothing left but to wait."""
    timer = threading.Timer(1.0, work)
    timer.start()
    return timer


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.02)


def test_a_run_waits_for_what_a_worker_has_in_hand_and_does_not_send_it(partition):
    theirs = partition.claim()
    worker = _soon(lambda: partition.complete(theirs))
    counts = asyncio.run(partition.run())
    worker.join()
    assert (counts["rows"], counts["embedded"], counts["missing"]) == (N, N - len(theirs), 0)
    assert partition.depth() == Depth(0, 0, 0, 0, 0.0)
    assert partition.sent_twice() == []


def test_what_a_worker_gives_back_is_embedded_by_the_next_attempt(partition):
    theirs = partition.claim()
    worker = _soon(lambda: claims.release(partition.connection, "worker"))
    with pytest.raises(StoreUnavailableError, match="5 chunks of 'notes/00'") as caught:
        asyncio.run(partition.run())
    worker.join()
    assert caught.value.retryable
    counts = asyncio.run(partition.run())
    assert (counts["rows"], counts["embedded"]) == (N, len(theirs))
    assert partition.sent_twice() == []


def test_an_interrupted_run_gives_back_what_it_claimed(partition):
    partition.ollama.reset(request_ms=300)

    async def interrupt() -> None:
        run = asyncio.create_task(partition.run())
        await asyncio.to_thread(_wait, lambda: partition.depth().processing > 0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(interrupt())
    depth = partition.depth()
    assert depth.processing == 0
    assert depth.pending > 0
    assert len(partition.claim(N)) == depth.pending


def test_a_run_without_a_server_names_the_reason_and_keeps_nothing(partition):
    partition.ollama.break_by({"fault": "F2"})
    theirs = partition.claim()
    with pytest.raises(OllamaUnavailableError):
        asyncio.run(partition.run())
    depth = partition.depth()
    assert (depth.pending, depth.processing, depth.failed) == (0, len(theirs), N - len(theirs))


def test_the_leases_are_renewed_while_the_server_is_slow(partition):
    partition.ollama.reset(request_ms=1500)

    async def watch() -> list[Text]:
        run = asyncio.create_task(partition.run(every=0.05))
        await asyncio.to_thread(_wait, lambda: partition.depth().processing == N)
        partition.connection.execute("UPDATE ingestion.ledger SET lease_until = now()")
        partition.connection.execute("UPDATE ingestion.owners SET lease_until = now()")
        await asyncio.sleep(0.5)
        stolen: list[Text] = await asyncio.to_thread(partition.claim, N)
        run.cancel()
        await asyncio.wait([run])
        return stolen

    assert asyncio.run(watch()) == []
