"""One server, and everybody who sends it something; each has a session of Postgres of its own."""

import asyncio
from collections.abc import Sequence

import pytest

from ingestion_assets.embedding import EmbeddingStream, Endpoints, Ollama
from ingestion_assets.retrieval.servers import Servers
from ingestion_assets.store.fleet import Fleet
from ingestion_assets_tests.embedding.given import paged, texts
from ingestion_assets_tests.services.faulty_ollama import running

MOST = 6
TEXTS = 600

pytestmark = pytest.mark.anyio


async def backfill(database: str, url: str, workers: int) -> int:
    """Embed all texts with as many requests in flight as the others leave; how many there are."""
    ollama = Ollama(url, connections=MOST + 2, keepalive=MOST)
    async with Endpoints([ollama], workers=workers, max_workers=MOST) as pool:
        model = await pool.identify("all-minilm")
        async with Fleet(database, pool.shares(), most=MOST, live=False):
            stream = EmbeddingStream(pool, model, paged(texts(TEXTS)), batch_size=8)
            return sum([len(vectors.ids) async for vectors in stream])


async def ask(database: str, url: str, done: asyncio.Event) -> Sequence[int]:
    """Ask question after question until all is done; how many vectors each one got."""
    answered = []
    servers = Servers([Ollama(url)], workers=4, timeout=30)
    async with servers, Fleet(database, servers.shares(), most=MOST, live=True):
        while not done.is_set():
            answer = await servers.embed("all-minilm", ["how do I retry?"])
            answered.append(len(answer.matrix))
            await asyncio.sleep(0.05)
    return answered


async def test_no_server_ever_has_more_requests_than_all_may_send(database):
    done = asyncio.Event()
    with running(slots=2, text_ms=1) as double:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(database, double.url, done)) for _ in range(2)]
            filling = [group.create_task(backfill(database, double.url, MOST)) for _ in range(3)]
            embedded = await asyncio.gather(*filling)
            done.set()
        stats = double.stats()
    assert embedded == [TEXTS] * 3
    assert stats["max_computing"] <= MOST
    assert all(task.result() and set(task.result()) == {1} for task in asking)
