"""An approximate index in, how much of what is nearest it finds out, and how hard to search it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from psycopg import sql

from ingestion_assets.errors import StoreError
from ingestion_assets.retrieval import corpus, filters
from ingestion_assets.retrieval.lookup import LARGEST_EF, Found, run, snapshot
from ingestion_assets.retrieval.query import Embeds, QueryEmbedder
from ingestion_assets.retrieval.request import Filters
from ingestion_assets.retrieval.statement import Plan, exact
from ingestion_assets.retrieval.vectors import as_text
from ingestion_assets.settings import Settings
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.index import vector_index
from ingestion_assets.store.pool import AsyncConnection, Pool, borrowed

STEPS = (40, 100, 200, 400, 800, LARGEST_EF)
_SAME = 1e-6  # distances that differ by less are equal: which of two twins is found is no loss
# What lies between two stored vectors: a question is not stored itself, and what is is found more
# easily. In the order of a hash, so that the same ones are asked again.
_SAMPLE = """
SELECT (embedding + lead(embedding) OVER (ORDER BY md5(chunk_id::text)))::text
FROM {} ORDER BY md5(chunk_id::text) LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Recall:
    """What searches through the index found, of what the exact ones did.

    Attributes:
        ef_search: what the index was searched with.
        k: results of each search.
        expected: results of the exact searches, together.
        found: of these, by the approximate ones.
        short: approximate searches that gave fewer results than the exact ones.
        questions: that were asked.
    """

    ef_search: int
    k: int
    expected: int
    found: int
    short: int
    questions: int = 0

    @property
    def value(self) -> float:
        """The share that was found; 1 where there was nothing to find."""
        return self.found / self.expected if self.expected else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, each result counted for itself."""
        if not self.expected:
            return 1.0, 1.0
        n, p, z = self.expected, self.value, 1.96
        middle, width = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - width) / (1 + z * z / n), (middle + width) / (1 + z * z / n)

    @property
    def at_least(self) -> float:
        """The lower end of the interval."""
        return self.interval[0]


async def measure(
    pool: Pool,
    steps: Sequence[int] = STEPS,
    *,
    k: int = 10,
    sample: int = 100,
    among: Filters | None = None,
    asked: Sequence[NDArray[np.float32]] = (),
    target: float | None = None,
) -> list[Recall]:
    """Recall at k for questions that lie between stored vectors, all in one snapshot.

    Args:
        steps: values of ef_search to search the index with.
        sample: questions; each is compared with every vector once.
        among: search only what fits these.
        asked: vectors of real questions, to be measured with the others.
        target: not to go on beyond the first step that surely finds this share.

    Raises:
        StoreError: there is no index to measure.
    """
    found: list[Recall] = []
    async with snapshot(pool) as connection:
        every = exact(await _measurable(connection), filters.condition(among or Filters()))
        questions = await _questions(connection, every, k, sample, among)
        questions += [{**_shared(k, among), "question": as_text(vector)} for vector in asked]
        truths = [await run(connection, every, values, None) for values in questions]
        approximate = replace(every, approximate=True)
        for step in steps:
            tries = [await run(connection, approximate, values, step) for values in questions]
            found.append(_compared(step, k, truths, tries))
            if target is not None and found[-1].at_least >= target:
                break
    return found


async def tune(
    pool: Pool,
    *,
    target: float = Settings.recall_target,
    k: int = 10,
    sample: int = 100,
    asked: Sequence[NDArray[np.float32]] = (),
) -> Recall:
    """The least ef_search whose recall is surely on target, which searches then use.

    Args:
        asked: vectors of real questions, to be measured with the sampled ones.

    Returns:
        Its recall, or the highest step's where none is on target.

    Raises:
        StoreError: there is no index to tune.
    """
    recall = (await measure(pool, k=k, sample=sample, asked=asked, target=target))[-1]
    await _remember(pool, recall)
    return recall


async def embedded(
    ollama: Embeds, generation: Generation, questions: Sequence[str]
) -> list[NDArray[np.float32]]:
    """Vectors of real questions, as searches embed them.

    Raises:
        OllamaError: they cannot be embedded.
    """
    embedder = QueryEmbedder(ollama)
    return [(await embedder.embed(generation, text)).vector for text in questions]


async def _measurable(connection: AsyncConnection) -> Generation:
    there = await corpus.read(connection, "simple")
    if there.generation is None or there.ef_search is None:
        raise StoreError("no approximate index to measure; build it first")
    return there.generation


async def _questions(
    connection: AsyncConnection, plan: Plan, k: int, sample: int, among: Filters | None
) -> list[dict[str, Any]]:
    """Values for the plan's statement, of sampled questions."""
    cursor = await connection.execute(sql.SQL(_SAMPLE).format(plan.table), (sample,))
    shared = _shared(k, among)
    return [{"question": mean, **shared} for (mean,) in await cursor.fetchall() if mean]


def _shared(k: int, among: Filters | None) -> dict[str, Any]:
    """What all questions have in common."""
    return {"depth": k, "limit": k, **filters.parameters(among or Filters())}


def _compared(step: int, k: int, truths: Sequence[Found], tries: Sequence[Found]) -> Recall:
    expected = found = short = 0
    for truth, tried in zip(truths, tries, strict=True):
        wanted, got = ([hit.distance or 0.0 for hit in each.hits] for each in (truth, tried))
        worst = max(wanted, default=0.0) + _SAME
        expected += len(wanted)
        found += sum(distance <= worst for distance in got)
        short += len(got) < len(wanted)
    return Recall(step, k, expected, found, short, len(truths))


async def _remember(pool: Pool, recall: Recall) -> None:
    """Write it on the index, whose own it is: with the index it goes."""
    async with borrowed(pool) as connection:
        generation = await _measurable(connection)
        note = orjson.dumps({"ef_search": recall.ef_search, "recall": recall.value}).decode()
        await connection.execute(
            sql.SQL("COMMENT ON INDEX {} IS {}").format(
                sql.Identifier("ingestion", vector_index(generation)), sql.Literal(note)
            )
        )
