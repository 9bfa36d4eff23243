"""A search and its question's vector in, what one snapshot of the database holds out."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import dict_row

from ingestion_assets.errors import ConfigError
from ingestion_assets.retrieval import corpus, filters
from ingestion_assets.retrieval.corpus import Corpus
from ingestion_assets.retrieval.request import Search
from ingestion_assets.retrieval.results import Hit
from ingestion_assets.retrieval.statement import Plan
from ingestion_assets.retrieval.vectors import as_text
from ingestion_assets.store.index import INDEX_FROM
from ingestion_assets.store.pool import AsyncConnection, Pool, borrowed

EXACT_LIMIT = INDEX_FROM  # vectors that are compared with one by one; 45 ms at 384 dimensions
SELECTIVE = 20_000  # candidates up to which a filtered search is faster without the index
MOST_WORDS = 64  # of a question, that are looked for
LARGEST_EF = 1000  # that pgvector takes
FUSED = 50  # places of each kind that a hybrid search fuses, at least
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
# The compiler costs more than it saves here. In a relaxed order an index scan goes on until there
# are enough rows, and finds more of the nearest than in a strict one.
_SETTINGS = """SELECT set_config('jit', 'off', true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.ef_search', %s, true)"""
# Parallel workers shorten one search and lengthen many: starting them costs more than they save
# where the cores are busy anyway.
_BY_ITSELF = "SET LOCAL max_parallel_workers_per_gather = 0"
# T stands for anything at all, as where words are only excluded.
_HAS_WORDS = "SELECT querytree(websearch_to_tsquery(%s::regconfig, %s)) NOT IN ('', 'T')"
_QUOTED_OR_EXCLUDED = re.compile(r'"|(?:^|\s)-\w')


class ChangedError(Exception):
    """Another generation was activated since the question was embedded."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Attributes:
        vectors: of the hits, if they were asked for.
        approximate: whether the index of the vectors was used.
    """

    hits: list[Hit]
    vectors: list[Sequence[float] | None]
    approximate: bool


class Lookup:
    """Reads the store for searches.

    Args:
        language: the text search configuration.
        exact_limit: candidates up to which the mode auto compares with every one.
    """

    def __init__(self, pool: Pool, *, language: str, exact_limit: int) -> None:
        self._pool = pool
        self._language = language
        self._exact_limit = exact_limit
        self._searches = 0

    async def corpus(self) -> Corpus:
        """What there is to be searched now."""
        async with borrowed(self._pool) as connection:
            return await corpus.read(connection, self._language)

    async def has_words(self, text: str) -> bool:
        """Whether a question has words to look for."""
        async with borrowed(self._pool) as connection:
            cursor = await connection.execute(_HAS_WORDS, (self._language, text))
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def find(
        self, request: Search, question: NDArray[np.float32] | None, seen: Corpus, *, limit: int
    ) -> tuple[Found, Corpus]:
        """The best hits by the request's method, all from one snapshot and one generation.

        Args:
            question: its vector by the generation seen; none for a text search.
            seen: what there was when the question was embedded.
            limit: hits at most.

        Returns:
            What was found, and in what.

        Raises:
            ChangedError: that generation is not the active one any more.
            ConfigError: Postgres does not know the language.
        """
        async with snapshot(self._pool) as connection, self._counted(connection):
            there = await corpus.read(connection, self._language)
            if question is not None and there.generation != seen.generation:
                raise ChangedError
            plan = self._plan(request, there)
            values = _values(request, question, limit)
            if await self._is_approximate(connection, request, there, plan):
                found = await run(
                    connection, replace(plan, approximate=True), values, there.ef_search
                )
                if len(found.hits) == limit:
                    return found, there
            # The index may have missed some that exist, so a short answer is looked for again.
            return await run(connection, plan, values, None), there

    @asynccontextmanager
    async def _counted(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """One of the searches under way; only a lone one gets several of Postgres' processes."""
        self._searches += 1
        try:
            if self._searches > 1:
                await connection.execute(_BY_ITSELF)
            yield
        finally:
            self._searches -= 1

    def _plan(self, request: Search, there: Corpus) -> Plan:
        return Plan(
            generation=there.generation,
            by_vector=request.method != "text",
            by_words=request.method != "vector",
            approximate=False,
            language=self._language,
            strict=bool(_QUOTED_OR_EXCLUDED.search(request.text)),
            has_text_index=there.has_text_index,
            with_embeddings=request.rerank == "mmr",
            condition=filters.condition(request.filters),
        )

    async def _is_approximate(
        self, connection: AsyncConnection, request: Search, there: Corpus, plan: Plan
    ) -> bool:
        """Whether to use the index of the vectors."""
        if request.method == "text" or request.mode == "exact" or there.ef_search is None:
            return False
        asked_for = request.mode == "approx"
        if not asked_for and there.vectors <= self._exact_limit:
            return False
        if plan.condition is None:
            return True
        most = min(self._exact_limit, SELECTIVE) if asked_for else self._exact_limit
        values = {"most": most + 1, **filters.parameters(request.filters)}
        row = await (await connection.execute(plan.candidates(), values, prepare=False)).fetchone()
        return row is None or row[0] > most


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[AsyncConnection]:
    """A transaction that sees one moment; what it sends is not waited for one by one.

    Raises:
        ChangedError: a table was dropped meanwhile.
        ConfigError: Postgres does not know the language.
    """
    async with borrowed(pool) as connection:
        try:
            async with connection.pipeline(), connection.transaction():
                await connection.execute(_SNAPSHOT)
                yield connection
        except psycopg.errors.UndefinedTable as exc:
            raise ChangedError from exc
        except psycopg.errors.UndefinedObject as exc:
            raise ConfigError(
                f"INGEST_TEXT_LANGUAGE: {exc}; use english, simple, or another of pg_ts_config"
            ) from exc


async def run(
    connection: AsyncConnection, plan: Plan, values: dict[str, Any], ef_search: int | None
) -> Found:
    """Run a plan's statement in the transaction that is open.

    Args:
        values: of the statement's parameters.
        ef_search: to search the index with, if the plan does.
    """
    ef_search = min(max(ef_search or 1, values["depth"]), LARGEST_EF)
    await connection.execute(_SETTINGS, (str(ef_search),))
    async with connection.cursor(row_factory=dict_row) as cursor:
        # A plan made for any values may be a bad one for these.
        await cursor.execute(plan.statement(), values, prepare=False, binary=True)
        rows = await cursor.fetchall()
    vectors = [row.pop("embedding") for row in rows]
    made = plan.generation.generation_id if plan.generation else None
    return Found([Hit(**row, generation=made) for row in rows], vectors, plan.approximate)


def _values(request: Search, question: NDArray[np.float32] | None, limit: int) -> dict[str, Any]:
    return {
        "question": None if question is None else as_text(question),
        "text": request.text,
        "words": " ".join(request.text.split()[:MOST_WORDS]),
        "depth": max(limit, FUSED) if request.method == "hybrid" else limit,
        "limit": limit,
        **filters.parameters(request.filters),
    }
