"""Golden questions in, how well a generation finds the documents that they should find out."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ingestion_assets.errors import ConfigError
from ingestion_assets.retrieval.lookup import run, snapshot
from ingestion_assets.retrieval.query import Embeds, QueryEmbedder
from ingestion_assets.retrieval.statement import exact
from ingestion_assets.retrieval.vectors import as_text
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.pool import Pool

DEPTH = 10  # documents of an answer that count
_CHUNKS = 50  # that are looked at for them: several may be of one document


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over all golden questions.

    Attributes:
        hit_rate: share that found one of their documents among the first ten.
        ndcg: how far up all of their documents stood, 1 at best.
    """

    hit_rate: float
    ndcg: float


def read(path: Path) -> list[dict[str, Any]]:
    """The questions of a file, each `query` and `uris`.

    A line is a JSON object of these two, or, in a file that ends in .csv, the question and the
    uris that it should find. A uri may have its source in front, as `ingest search` prints it.

    Raises:
        ConfigError: there are none, or a line is no question.
    """
    questions = list(_csv(path) if path.suffix.lower() == ".csv" else _jsonl(path))
    if not questions:
        raise ConfigError(f"{str(path)!r} has no golden questions; write one a line")
    return questions


async def measure(
    pool: Pool, ollama: Embeds, generation: Generation, golden: Sequence[dict[str, Any]]
) -> Figures:
    """Ask every question of one generation, and compare with every vector.

    Raises:
        OllamaError: the questions cannot be embedded.
    """
    embedder = QueryEmbedder(ollama)
    gains = []
    for question in golden:
        asked = await embedder.embed(generation, question["query"])
        found = await _found(pool, generation, asked.vector)
        gains.append(_gains(found, set(question["uris"])))
    hits, ndcg = np.array(gains).mean(axis=0)
    return Figures(float(hits), float(ndcg))


async def judge(
    pool: Pool,
    ollama: Embeds,
    generations: tuple[Generation, Generation],
    golden: Sequence[dict[str, Any]],
    tolerance: float,
) -> dict[str, Any]:
    """Whether a generation finds what the active one finds; both are asked now.

    Args:
        generations: the active one, and the one to be judged.
        tolerance: by which its figures may be lower.

    Returns:
        The figures of both, and whether it `passed`; plain values, to be stored.
    """
    old, new = [await measure(pool, ollama, each, golden) for each in generations]
    return {
        "passed": new.hit_rate >= old.hit_rate - tolerance and new.ndcg >= old.ndcg - tolerance,
        "questions": len(golden),
        "hit_rate": new.hit_rate,
        "ndcg": new.ndcg,
        "compared_with": generations[0].generation_id,
        "active_hit_rate": old.hit_rate,
        "active_ndcg": old.ndcg,
        "tolerance": tolerance,
    }


async def _found(
    pool: Pool, generation: Generation, vector: NDArray[np.float32]
) -> list[tuple[str, str]]:
    """The documents that are nearest, the nearest first, each as its uri alone and with source."""
    values = {"question": as_text(vector), "depth": _CHUNKS, "limit": _CHUNKS}
    async with snapshot(pool) as connection:
        hits = (await run(connection, exact(generation), values, None)).hits
    return list(dict.fromkeys((hit.uri, f"{hit.source}/{hit.uri}") for hit in hits))[:DEPTH]


def _gains(found: Sequence[tuple[str, str]], wanted: set[str]) -> tuple[float, float]:
    """Whether one was found, and the nDCG of them all."""
    gained = [1.0 if wanted.intersection(names) else 0.0 for names in found]
    best = sum(1 / log2(rank + 2) for rank in range(min(len(wanted), DEPTH)))
    return max(gained, default=0.0), sum(g / log2(n + 2) for n, g in enumerate(gained)) / best


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = orjson.loads(line)
            yield _question(entry["query"], entry["uris"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as exc:
            raise ConfigError(
                f"{path}:{number} is no golden question; write"
                ' {"query": "…", "uris": ["guide.md"]}'
            ) from exc


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            cells = [cell.strip() for cell in row if cell.strip()]
            if not cells or (number == 1 and cells[0].lower() == "query"):
                continue
            try:
                yield _question(cells[0], cells[1:])
            except ValueError as exc:
                raise ConfigError(
                    f"{path}:{number} is no golden question; write the question, then its uris"
                ) from exc


def _question(query: Any, uris: Any) -> dict[str, Any]:
    if not isinstance(query, str) or not query.strip() or not uris or isinstance(uris, str):
        raise ValueError("a question and a list of uris are needed")
    return {"query": query, "uris": [str(uri) for uri in uris]}
