"""A search in, its results out: all of one generation, and what could not be done is said."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ingestion_assets import tracing
from ingestion_assets.errors import OllamaError, QueryError, RerankError, StoreUnavailableError
from ingestion_assets.retrieval import rerank
from ingestion_assets.retrieval.corpus import Corpus
from ingestion_assets.retrieval.lookup import (
    EXACT_LIMIT,
    MOST_WORDS,
    ChangedError,
    Found,
    Lookup,
)
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.request import MAX_K, Search
from ingestion_assets.retrieval.results import Hit, Results
from ingestion_assets.store.pool import Pool

LANGUAGE = "english"
_ATTEMPTS = 5  # a generation is not activated that often while one search is done
_NO_VECTORS = "embeddings: none are stored yet; run `ingest run`"


@dataclass(slots=True)
class _Account:
    """What happened during one search."""

    degraded: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings[step] = round(1e3 * (time.perf_counter() - started), 3)


class Searcher:
    """Answers searches over a pool of connections; none is held while Ollama is waited for.

    Args:
        pool: open, of autocommit connections.
        embedder: of questions.
        language: the text search configuration, as in INGEST_TEXT_LANGUAGE.
        judge: the chat model for reranking by model; none if there is none.
        exact_limit: candidates up to which the mode auto compares with every one.
    """

    def __init__(
        self,
        pool: Pool,
        embedder: QueryEmbedder,
        *,
        language: str = LANGUAGE,
        judge: rerank.Judge | None = None,
        exact_limit: int = EXACT_LIMIT,
    ) -> None:
        self._lookup = Lookup(pool, language=language, exact_limit=exact_limit)
        self._embedder = embedder
        self._judge = judge
        self._seen: Corpus | None = None

    async def search(self, request: Search) -> Results:
        """What is found, best first; fewer than k only where fewer exist.

        A hybrid search without Ollama is a text search, a rerank that fails is none: the
        results say so.

        Raises:
            QueryError: there is nothing to look for in the question.
            OllamaError: a vector search without Ollama.
            StoreError: the database does not answer.
        """
        for _ in range(_ATTEMPTS):
            account = _Account()
            try:
                of = {"ingestion.method": request.method, "ingestion.k": request.k}
                with account.timed("total"), tracing.span("search", of):
                    return await self._search(request, account)
            except ChangedError:
                self._seen = None
        raise StoreUnavailableError("the active generation changes all the time; search again")

    async def _search(self, request: Search, account: _Account) -> Results:
        seen = await self._last_seen()
        question = await self._embed(request, seen, account)
        if question is None and request.method == "hybrid":
            request = replace(request, method="text")
        with account.timed("search"):
            found, there = await self._find(request, question, seen)
        self._seen = there
        await self._explain(request, found, there, account)
        hits = await self._reranked(request, found, account)
        return Results(
            hits[: request.k],
            request.method,
            "approx" if found.approximate else "exact",
            there.generation.generation_id if there.generation else None,
            tuple(account.degraded),
            account.timings,
        )

    async def _last_seen(self) -> Corpus:
        """What the search before this one saw: a question is embedded for it without asking again.

        Whether it is still so is checked in the snapshot that is searched.
        """
        if self._seen is None or self._seen.generation is None:
            self._seen = await self._lookup.corpus()
        return self._seen

    async def _embed(
        self, request: Search, seen: Corpus, account: _Account
    ) -> NDArray[np.float32] | None:
        """The question's vector; none if none is needed, or to be had."""
        if request.method == "text":
            return None
        if seen.generation is None:
            account.degraded.append(_NO_VECTORS)
            return None
        try:
            with account.timed("embed"):
                question = await self._embedder.embed(seen.generation, request.text)
        except OllamaError as exc:
            if (await self._lookup.corpus()).generation != seen.generation:
                raise ChangedError from exc
            if request.method == "vector":
                raise
            account.degraded.append(f"ollama: {exc}")
            return None
        if question.cut:
            account.degraded.append(
                f"embed: the question is over the context of {seen.generation.model!r}; its"
                " meaning is taken from the beginning"
            )
        return question.vector

    async def _find(
        self, request: Search, question: NDArray[np.float32] | None, seen: Corpus
    ) -> tuple[Found, Corpus]:
        if question is None and request.method == "vector":
            return Found([], [], approximate=False), seen
        return await self._lookup.find(request, question, seen, limit=_limit(request))

    async def _explain(
        self, request: Search, found: Found, there: Corpus, account: _Account
    ) -> None:
        """Say what was not done as asked."""
        if request.method != "text" and request.mode == "approx" and there.ef_search is None:
            account.degraded.append("approx: the vectors have no index; compared with every one")
        if request.method == "vector":
            return
        n = len(request.text.split())
        if n > MOST_WORDS:
            account.degraded.append(f"text: only the first {MOST_WORDS} of {n} words were used")
        if any(hit.text_rank for hit in found.hits) or await self._lookup.has_words(request.text):
            return
        problem = f"{request.text[:80]!r} has no word to look for, only stop words or exclusions"
        if request.method == "text":
            raise QueryError(f"{problem}; add one, or search by the method vector")
        account.degraded.append(f"text: {problem}")

    async def _reranked(self, request: Search, found: Found, account: _Account) -> list[Hit]:
        if request.rerank == "none" or not found.hits:
            return found.hits
        with account.timed("rerank"):
            if request.rerank == "mmr":
                return rerank.varied(
                    found.hits, found.vectors, k=request.k, relevance=request.relevance
                )
            try:
                return await self._judged(request, found)
            except RerankError as exc:
                account.degraded.append(f"rerank: {exc}")
                return found.hits

    async def _judged(self, request: Search, found: Found) -> list[Hit]:
        if self._judge is None:
            raise RerankError("there is no chat model to judge; set INGESTION_CHAT_MODEL")
        return await rerank.judged(self._judge, request.text, found.hits)


def _limit(request: Search) -> int:
    """How many to find, so that there is something to choose from."""
    choice = {"none": 0, "mmr": max(50, 3 * request.k), "model": rerank.JUDGED}[request.rerank]
    return max(request.k, min(choice, MAX_K))
