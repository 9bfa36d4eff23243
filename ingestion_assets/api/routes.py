"""One function for each path: a request in, an answer out."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ingestion_assets.api import answers, errors, openapi, page
from ingestion_assets.api.backend import Backend
from ingestion_assets.api.pools import pools
from ingestion_assets.api.requests import QueryRequest, SearchRequest
from ingestion_assets.api.schemas import (
    Alive,
    Passage,
    Ready,
    SearchResponse,
)
from ingestion_assets.errors import StoreUnavailableError
from ingestion_assets.retrieval.request import Search
from ingestion_assets.retrieval.results import Results

Result = TypeVar("Result")

_DOCUMENT_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox"}


async def search(request: Request) -> Response:
    """GET /api/search."""
    asked = SearchRequest.model_validate(dict(request.query_params))
    found = await _unless_gone(request, _found(request, asked.search()))
    return _json(
        SearchResponse(
            hits=[Passage.model_validate(hit) for hit in found.hits],
            method=found.method,
            mode=found.mode,
            generation=found.generation_id,
            degraded=list(found.degraded),
            timings=dict(found.timings),
        )
    )


async def query(request: Request) -> Response:
    """POST /api/query."""
    backend = _backend(request)
    async with asyncio.timeout(backend.settings.api_timeout):
        asked = QueryRequest.model_validate_json(await _body(request))
    found = await _unless_gone(request, _found(request, asked.search()))
    if asked.stream:
        lines = answers.lines(backend, asked.query, found)
        return StreamingResponse(lines, media_type="application/x-ndjson")
    if asked.answer:
        return _json(await _unless_gone(request, answers.whole(backend, asked.query, found)))
    return _json(answers.response(found))


async def document(request: Request) -> Response:
    """GET /api/documents/{document_id}."""
    backend = _backend(request)
    async with asyncio.timeout(backend.settings.api_timeout):
        text = await backend.document(request.path_params["document_id"])
    if text is None:
        raise HTTPException(404, "there is no such document; it may have been deleted since")
    return Response(text, headers=_DOCUMENT_HEADERS, media_type="text/plain")


async def pool_stats(request: Request) -> Response:
    """GET /api/pool/stats."""
    return _json(pools(_backend(request)))


async def health(request: Request) -> Response:
    """GET /health."""
    found = await _backend(request).prober.health()
    return _json(found, 503 if found.status == "unhealthy" else 200)


async def alive(_: Request) -> Response:
    """GET /health/live: the process answers, whatever else is wrong."""
    return _json(Alive())


async def ready(request: Request) -> Response:
    """GET /health/ready: searches can be answered, if only by their words."""
    found = await _backend(request).prober.health()
    if found.status == "unhealthy":
        raise StoreUnavailableError(found.database.detail)
    return _json(Ready())


async def metrics(request: Request) -> Response:
    """GET /metrics."""
    text = await request.app.state.metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4")


async def described(_: Request) -> Response:
    """GET /openapi.json."""
    return Response(orjson.dumps(openapi.document()), media_type="application/json")


ROUTES = [
    *page.ROUTES,
    Route("/api/search", search),
    Route("/api/query", query, methods=["POST"]),
    Route("/api/documents/{document_id:uuid}", document),
    Route("/api/pool/stats", pool_stats),
    Route("/health", health),
    Route("/health/live", alive),
    Route("/health/ready", ready),
    Route("/metrics", metrics),
    Route("/openapi.json", described),
]


async def _found(request: Request, asked: Search) -> Results:
    backend = _backend(request)
    limits = backend.settings
    async with asyncio.timeout(
        limits.api_answer_timeout if asked.rerank == "model" else limits.api_timeout
    ):
        found = await backend.searcher.search(asked)
    for missing in found.degraded:
        request.app.state.metrics.degraded.labels(missing.partition(":")[0]).inc()
    return found


async def _body(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "send the body as Content-Type: application/json")
    return await request.body()


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work, and give it up when the client has hung up."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(errors.GONE, "the client has gone")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


def _json(answer: BaseModel, status: int = 200) -> Response:
    return Response(answer.model_dump_json(), status, media_type="application/json")
