"""A few documents in a database, and the service over it: in this process, or served for real."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import uvicorn

from ingestion_assets.api.app import application
from ingestion_assets.api.serving import configuration, listen, url_of
from ingestion_assets.changes import Vectors
from ingestion_assets.embedding import Ollama
from ingestion_assets.settings import Settings
from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Recipe, open_generation
from ingestion_assets_tests.store import rows

MODEL = "all-minilm"
DOCUMENTS = {
    "whales.md": ["Blue whales eat krill. They are the largest animals.", "Whales sing at night."],
    "bread.md": ["Knead the dough for ten minutes, then let it rest.", "Bake it at 230 degrees."],
    "https://example.org/stars": ["A star <b>shines</b> because hydrogen fuses in its core."],
    "javascript:alert(1)": ["Retry a failed request with exponential backoff and jitter."],
}
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script> hostile words'


def store(database: str, host: str, documents: dict[str, list[str]] | None = None) -> None:
    """Store documents with the vectors that an Ollama gives their chunks."""
    asyncio.run(_store(database, host, DOCUMENTS if documents is None else documents))


async def _store(database: str, host: str, documents: dict[str, list[str]]) -> None:
    with connect(database) as connection:
        pieces = [
            piece
            for uri, texts in documents.items()
            for piece in rows.store(connection, uri, texts)[1]
        ]
        async with Ollama(host) as ollama:
            found = await ollama.identify(MODEL)
            answer = await ollama.embed(
                MODEL, [piece.text for piece in pieces], options=found.options
            )
        recipe = Recipe(MODEL, found.digest, found.dimensions, "", "", found.options)
        vectors = Vectors(
            [piece.chunk_id for piece in pieces],
            [piece.content_hash for piece in pieces],
            answer.matrix,
        )
        embeddings.write(connection, open_generation(connection, recipe), vectors)


@asynccontextmanager
async def service(
    database: str, *hosts: str, client: tuple[str, int] = ("127.0.0.1", 5000), **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """The service in this process, without a network."""
    app = application(Settings(**settings), database, hosts)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        yield http


@contextmanager
def served(database: str, *hosts: str, **settings: Any) -> Iterator[str]:
    """The service on a port of its own, in a thread; its URL."""
    app = application(Settings(**settings), database, hosts)
    server = uvicorn.Server(configuration(app))
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join()


def wait_for(done: Any, seconds: float = 30) -> None:
    """Return when something has become true."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def uris(answer: httpx.Response) -> Sequence[str]:
    """Of the passages that were found."""
    return [hit["uri"] for hit in answer.json()["hits"]]
