"""A store to search, and a make-believe model that knows which vectors it holds."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.chunks.chunk import Chunk, content_hash
from ingestion_assets.embedding.answers import Answer
from ingestion_assets.errors import ModelError, OllamaUnavailableError
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.pool import open_pool
from ingestion_assets_tests.store import rows


class Model:
    """Gives a text the vector that `rows.embed` stores for a chunk of that text.

    Attributes:
        asked: every text, in order.
        down: whether the server is.
        names: of the models it has; none for any.
        before: called before every answer.
    """

    base_url = "http://model"

    def __init__(self, dimensions: int = 4, name: str = "m") -> None:
        self.asked: list[str] = []
        self.digests = 0
        self.down = False
        self.names: set[str] | None = None
        self.before: Callable[[], Awaitable[None]] | None = None
        self._dimensions = dimensions
        self._name = name

    def vector(self, text: str) -> NDArray[np.float32]:
        return rows.vector(content_hash(None, "", text), self._dimensions, self._name)

    async def digest(self, model: str) -> str:
        self.digests += 1
        self._check()
        return "sha"

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        options: Mapping[str, Any] | None = None,
        truncate: bool = False,
        dimensions: int | None = None,
    ) -> Answer:
        if self.before is not None:
            await self.before()
        self._check()
        if self.names is not None and model not in self.names:
            raise ModelError(self.base_url, model, "no such model")
        self.asked += texts
        return Answer(np.array([self.vector(text) for text in texts]), (), len(texts), 0.0, 0.0)

    def _check(self) -> None:
        if self.down:
            raise OllamaUnavailableError(self.base_url, "refused")


@asynccontextmanager
async def searching(
    database: str, model: Model | None = None, **options: Any
) -> AsyncIterator[Searcher]:
    """A searcher over a pool of one connection."""
    async with open_pool(database) as pool:
        yield Searcher(pool, QueryEmbedder(model or Model()), **options)


def fill(
    connection: Connection, dimensions: int, n: int
) -> tuple[Generation, list[Chunk], NDArray[np.float32]]:
    """Chunks of two sources with their vectors; a generation, the chunks, their matrix."""
    generation = rows.generation(connection, dimensions)
    pieces: list[Chunk] = []
    for number, key in enumerate(["notes/00", "notes/01", "papers/00"]):
        texts = [f"{number}: text {i}" for i in range(n)]
        pieces += rows.store(connection, f"{number}.md", texts, key=key)[1]
    rows.embed(connection, generation, pieces)
    return generation, pieces, rows.vectors(pieces, dimensions).matrix


def by_hand(
    pieces: Sequence[Chunk], matrix: NDArray[Any], question: NDArray[Any], k: int
) -> tuple[list[UUID], list[float]]:
    """Ids and scores of the k nearest, in double precision."""
    wide = matrix.astype(np.float64)
    scores = wide @ question / np.linalg.norm(wide, axis=1) / np.linalg.norm(question)
    order = sorted(range(len(pieces)), key=lambda i: (-scores[i], pieces[i].chunk_id))[:k]
    return [pieces[i].chunk_id for i in order], [scores[i] for i in order]
