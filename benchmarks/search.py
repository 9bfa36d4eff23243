"""Recall of approximate against exact search, and what a search costs beside the SQL by hand.

python benchmarks/search.py --rows 100000
"""

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import click
import numpy as np
from numpy.typing import NDArray
from pgvector import Vector

from ingestion_assets.changes import Vectors
from ingestion_assets.embedding.answers import Answer
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.recall import STEPS, measure, tune
from ingestion_assets.retrieval.request import Filters, Mode, Search
from ingestion_assets.retrieval.results import Hit
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Recipe, open_generation
from ingestion_assets.store.index import build_text_index, build_vector_index
from ingestion_assets.store.pool import Pool, borrowed, open_pool
from ingestion_assets.store.schema import migrate

DIMENSIONS = 384
INTRINSIC = 24  # dimensions that carry meaning; real embeddings are about as narrow
CLUSTERS = 300
DOCUMENTS = 1000
WORDS = 120  # of a chunk
VOCABULARY = 50_000
QUESTIONS = 100
K = 10
AMONG = {
    "all": Filters(),
    "10 %": Filters(domain="tenth"),
    "1 %": Filters(category="hundredth"),
    "0.1 %": Filters(uri_prefix="007"),
}


_BY_HAND = """
SELECT chunk_id, embedding <=> %(question)s::vector AS distance FROM ingestion.embeddings_1
ORDER BY (embedding <=> %(question)s::vector) + 0 LIMIT 10
"""
_DOCUMENT = """
INSERT INTO ingestion.documents
VALUES (%s, 'bench', 'bench/00', %s, 'text/plain', '', '', '', '{}', %s, %s, 0, now(), now())
"""
_CHUNK = """
INSERT INTO ingestion.chunks
VALUES (%s, %s, 'bench/00', %s, '', %s, %s, 200, 0, 800, 'bench')
"""


class Meaning:
    """Makes vectors like those of texts: clustered, and of few intrinsic dimensions."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._centres = self._rng.standard_normal((CLUSTERS, INTRINSIC))
        self._axes = self._rng.standard_normal((INTRINSIC, DIMENSIONS)) / np.sqrt(INTRINSIC)

    def vectors(self, n: int) -> NDArray[np.float32]:
        """Array of shape (n, d), of unit length."""
        centres = self._centres[self._rng.integers(CLUSTERS, size=n)]
        inner = centres + 0.6 * self._rng.standard_normal((n, INTRINSIC))
        matrix = inner @ self._axes + 0.05 * self._rng.standard_normal((n, DIMENSIONS))
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        return np.asarray(matrix, dtype=np.float32)

    def texts(self, n: int, length: int) -> list[str]:
        """Texts of made-up words; without stop words, the commonest is in every second chunk."""
        share = 1 / (np.arange(VOCABULARY) + 20)
        words = self._rng.choice(VOCABULARY, size=(n, length), p=share / share.sum())
        return [" ".join(f"word{word}" for word in row) for row in words]


@dataclass
class Known:
    """A model that knows the questions' vectors, and takes no time."""

    vectors: Mapping[str, NDArray[np.float32]]
    base_url: str = "http://known"

    async def digest(self, model: str) -> str:
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
        return Answer(np.array([self.vectors[text] for text in texts]), (), len(texts), 0.0, 0.0)


@click.command()
@click.option("--rows", default=100_000, show_default=True, help="Chunks.")
def main(rows: int) -> None:
    """Fill a store with ROWS chunks of 384 dimensions, and search it."""
    meaning = Meaning()
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as server:
        migrate(server.address)
        with connect(server.address) as connection:
            fill(connection, meaning, rows, Recipe("known", "sha", DIMENSIONS, "", "", {}))
        questions = meaning.texts(QUESTIONS, 5)
        known = Known(dict(zip(questions, meaning.vectors(QUESTIONS), strict=True)))
        asyncio.run(report(server.address, known))


def fill(connection: Connection, meaning: Meaning, rows: int, recipe: Recipe) -> None:
    """Documents, chunks and vectors, then both indexes; prints what the indexes cost."""
    generation = open_generation(connection, recipe)
    ids = _chunks(connection, meaning, rows)
    matrix = meaning.vectors(rows)
    for start in range(0, rows, 5000):
        batch = ids[start : start + 5000]
        hashes = [_hash(chunk) for chunk in batch]
        vectors = Vectors(batch, hashes, matrix[start : start + 5000])
        embeddings.write(connection, generation, vectors)
    connection.execute("VACUUM ANALYZE")
    build_text_index(connection, "english")
    started = time.perf_counter()
    build_vector_index(connection, generation)
    click.echo(f"vectors indexed in {time.perf_counter() - started:.1f} s")


async def report(url: str, known: Known) -> None:
    """Print the recall, then the latency."""
    async with open_pool(url) as pool:
        click.echo("\nrecall@10 between stored vectors, by ef_search")
        for recall in await measure(pool, STEPS[:-1], sample=QUESTIONS):
            click.echo(f"{recall.ef_search:6} {recall.value:.4f} (at least {recall.at_least:.4f})")
        click.echo(f"chosen: {(await tune(pool, sample=QUESTIONS)).ef_search}")
        await _recalls(pool, known)
        await _latencies(pool, known)


async def _recalls(pool: Pool, known: Known) -> None:
    """Of new questions, by the product's own search, among all and among few."""
    click.echo("\nrecall@10 of new questions\namong    auto  through the index  approx  short")
    small = Searcher(pool, QueryEmbedder(known))
    large = Searcher(pool, QueryEmbedder(known), exact_limit=1000)
    for name, filters in AMONG.items():
        exact = await _all(small, known, filters, "exact")
        tries = [
            await _all(small, known, filters, "auto"),
            await _all(large, known, filters, "auto"),
            await _all(small, known, filters, "approx"),
        ]
        auto, indexed, approx = (_recall(exact, each) for each in tries)
        short = sum(len(b) < len(a) for each in tries for a, b in zip(exact, each, strict=True))
        click.echo(f"{name:6} {auto:6.4f} {indexed:18.4f} {approx:7.4f} {short:6}")


async def _latencies(pool: Pool, known: Known) -> None:
    """In turns, so that what else the machine does befalls all of them."""
    searcher = Searcher(pool, QueryEmbedder(known))
    searches = {
        "exact": ("vector", "exact"),
        "approximate": ("vector", "approx"),
        "words": ("text", "exact"),
        "hybrid, exact": ("hybrid", "exact"),
        "hybrid, approximate": ("hybrid", "approx"),
    }
    times: dict[str, list[float]] = {"exact, SQL by hand": [], **{name: [] for name in searches}}
    for text, vector in known.vectors.items():
        async with borrowed(pool) as connection:
            started = time.perf_counter()
            cursor = await connection.execute(_BY_HAND, {"question": Vector(vector).to_text()})
            await cursor.fetchall()
            times["exact, SQL by hand"].append(time.perf_counter() - started)
        for name, (method, mode) in searches.items():
            started = time.perf_counter()
            await searcher.search(Search(text, K, method, mode))  # type: ignore[arg-type]
            times[name].append(time.perf_counter() - started)
    click.echo("\nms, median of 100     ")
    for name, seconds in times.items():
        click.echo(f"{name:22} {1e3 * median(seconds):6.1f}")


async def _all(searcher: Searcher, known: Known, filters: Filters, mode: Mode) -> list[list[Hit]]:
    requests = [Search(text, K, "vector", mode, filters) for text in known.vectors]
    return [(await searcher.search(request)).hits for request in requests]


def _recall(exact: Sequence[Sequence[Hit]], tried: Sequence[Sequence[Hit]]) -> float:
    found = sum(
        len({hit.chunk_id for hit in a} & {hit.chunk_id for hit in b})
        for a, b in zip(exact, tried, strict=True)
    )
    return found / sum(map(len, exact))


def _chunks(connection: Connection, meaning: Meaning, rows: int) -> list[UUID]:
    """Chunks dealt out to a thousand documents in one partition; their ids."""
    connection.execute("INSERT INTO ingestion.sources VALUES ('bench', 'files', '{}', 1)")
    ids = [_id("chunk", n) for n in range(rows)]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_DOCUMENT, [_document(n) for n in range(DOCUMENTS)])
        cursor.executemany(
            _CHUNK,
            [
                (chunk, _id("document", n % DOCUMENTS), n, text, _hash(chunk))
                for n, (chunk, text) in enumerate(zip(ids, meaning.texts(rows, WORDS), strict=True))
            ],
        )
    return ids


def _document(n: int) -> tuple[object, ...]:
    tenth, hundredth = n % 10 == 0, n % 100 == 0
    domain, category = "tenth" if tenth else "other", "hundredth" if hundredth else "other"
    return _id("document", n), f"{n:03}.md", domain, category


def _id(kind: str, n: int) -> UUID:
    return UUID(bytes=md5(f"{kind}{n}".encode()).digest())


def _hash(chunk: UUID) -> bytes:
    return md5(chunk.bytes).digest()


if __name__ == "__main__":
    main()
