"""A question and its passages in, the chat model's answer out, whole or line by line."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel

from ingestion_assets.api.backend import Backend
from ingestion_assets.api.errors import CODES, status_of
from ingestion_assets.api.schemas import (
    AnswerLine,
    Cited,
    ErrorLine,
    PassageMetadata,
    QueryResponse,
    ResultsLine,
    TokenLine,
)
from ingestion_assets.errors import ConfigError, IngestionError, OllamaError
from ingestion_assets.retrieval.answer import Answer, answer, threshold
from ingestion_assets.retrieval.results import Results

logger = logging.getLogger(__name__)


def response(results: Results) -> QueryResponse:
    """The search's results in the shape of POST /api/query, without an answer."""
    return QueryResponse.model_validate(_parts(results))


async def whole(backend: Backend, question: str, results: Results) -> QueryResponse:
    """The results with their answer; degraded, with the reason, where there is none."""
    started = time.perf_counter()
    answered = response(results)
    try:
        async with asyncio.timeout(backend.settings.api_answer_timeout):
            said = await _last(backend, question, results)
    except (ConfigError, OllamaError, TimeoutError) as error:
        answered.degraded.append(f"answer: {_reason(backend, error)}")
        return answered
    answered.timings["answer"] = _since(started)
    return answered.model_copy(update=_fields(said))


async def lines(backend: Backend, question: str, results: Results) -> AsyncGenerator[bytes, None]:
    """NDJSON: the results, the answer piece by piece, and the whole answer or an error."""
    started = time.perf_counter()
    yield _line(ResultsLine.model_validate(_parts(results)))
    try:
        async with asyncio.timeout(backend.settings.api_answer_timeout):
            async with aclosing(_stream(backend, question, results)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, str):
                        yield _line(TokenLine(text=piece))
                    else:
                        timings = {"answer": _since(started)}
                        yield _line(AnswerLine(**_fields(piece), timings=timings))
    except (IngestionError, TimeoutError) as error:
        status = 504 if isinstance(error, TimeoutError) else status_of(error)
        logger.warning("No answer: %s: %s", type(error).__name__, error)
        yield _line(ErrorLine(error=CODES[status], detail=_reason(backend, error)))


async def _stream(
    backend: Backend, question: str, results: Results
) -> AsyncGenerator[str | Answer, None]:
    model = await backend.model(results.generation_id)
    least = threshold(model, backend.settings.answer_threshold)
    async with aclosing(answer(backend.chat, question, results.hits, least=least)) as pieces:
        async for piece in pieces:
            yield piece


async def _last(backend: Backend, question: str, results: Results) -> Answer:
    async with aclosing(_stream(backend, question, results)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Answer):
                return piece
    raise AssertionError("an answer ends with an Answer")


def _parts(results: Results) -> dict[str, Any]:
    hits = results.hits
    return {
        "method": results.method,
        "mode": results.mode,
        "generation": results.generation_id,
        "degraded": list(results.degraded),
        "timings": dict(results.timings),
        "documents": [hit.text for hit in hits],
        "metadatas": [PassageMetadata.model_validate(hit) for hit in hits],
        "distances": [hit.distance for hit in hits],
        "scores": [hit.score for hit in hits],
    }


def _fields(said: Answer) -> dict[str, Any]:
    return {
        "answer": said.text,
        "found": said.found,
        "cut": said.cut,
        "citations": [
            Cited(
                number=source.number,
                chunk_id=source.hit.chunk_id,
                document_id=source.hit.document_id,
                source=source.hit.source,
                uri=source.hit.uri,
                title=source.hit.title,
                page=source.hit.page,
            )
            for source in said.sources
        ],
    }


def _reason(backend: Backend, error: Exception) -> str:
    if isinstance(error, TimeoutError):
        limit = backend.settings.api_answer_timeout
        return f"no answer within {limit:g} s; raise INGEST_API_ANSWER_TIMEOUT"
    return str(error)


def _since(started: float) -> float:
    """Milliseconds."""
    return round(1000 * (time.perf_counter() - started), 3)


def _line(said: BaseModel) -> bytes:
    return said.model_dump_json().encode() + b"\n"
