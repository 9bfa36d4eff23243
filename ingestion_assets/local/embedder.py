"""The built-in embedder: an HTTP server that speaks Ollama's API and knows all-MiniLM-L6-v2.

Run as `python -m ingestion_assets.local.embedder`. The contract is Ollama 0.33's.
"""

import asyncio
import base64
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import orjson
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ingestion_assets.errors import LocalServiceError
from ingestion_assets.local import catalog
from ingestion_assets.local.guard import Guard
from ingestion_assets.local.minilm import DIMENSIONS
from ingestion_assets.local.ollama_api import (
    EmbedRequest,
    RequestError,
    embed_request,
    legacy_request,
    named_request,
    openai_request,
)
from ingestion_assets.local.runner import Embedding, InputTooLongError, Runner

Result = TypeVar("Result")
Handler = Callable[[Request], Awaitable[Response]]

_JSON = "application/json; charset=utf-8"
_CLIENT_GONE = 499
_BACKLOG = 2048


def application() -> Starlette:
    """An ASGI app with one model, loaded at the first request that needs it."""
    app = Starlette(
        routes=[
            Route("/", _root),
            Route("/api/version", _version),
            Route("/api/tags", _tags),
            Route("/api/ps", _ps),
            Route("/api/show", _show, methods=["POST"]),
            Route("/api/pull", _pull, methods=["POST"]),
            Route("/api/embed", _embed, methods=["POST"]),
            Route("/api/embeddings", _legacy, methods=["POST"]),
            Route("/v1/embeddings", _openai, methods=["POST"]),
        ],
        exception_handlers={
            404: _text("404 page not found"),
            405: _text("405 method not allowed"),
            RequestError: _refused,
        },
        middleware=[Middleware(Guard)],
    )
    app.state.runner = Runner()
    return app


async def _root(_request: Request) -> Response:
    return PlainTextResponse("Ollama is running")


async def _version(_request: Request) -> Response:
    return _json({"version": catalog.VERSION})


async def _tags(_request: Request) -> Response:
    return _json(catalog.tags())


async def _ps(request: Request) -> Response:
    runner: Runner = request.app.state.runner
    return _json(catalog.running(runner.context, runner.expires_at, loaded=runner.loaded))


async def _show(request: Request) -> Response:
    name, _stream = named_request(await request.body(), "ShowRequest", absent="model is required")
    return _json(catalog.show(name))


async def _pull(request: Request) -> Response:
    name, stream = named_request(await request.body(), "PullRequest", absent="invalid model name")
    lines = catalog.pull(name)
    if stream:
        body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        return Response(body, media_type="application/x-ndjson")
    return _json(lines[-1], 500 if "error" in lines[-1] else 200)


async def _embed(request: Request) -> Response:
    started = time.perf_counter_ns()
    asked = embed_request(await request.body())
    if not asked.texts:
        await _load(request, asked)
        return _json({"model": asked.model, "embeddings": []})
    done = await _embedded(request, asked)
    answer = {
        "model": asked.model,
        "embeddings": done.vectors,
        "total_duration": time.perf_counter_ns() - started,
        "load_duration": done.loaded_at - started,
        "prompt_eval_count": done.tokens,
    }
    return _json(answer)


async def _legacy(request: Request) -> Response:
    asked = legacy_request(await request.body())
    if not asked.texts:
        await _load(request, asked)
        return _json({"embedding": []})
    try:
        done = await _embedded(request, asked)
    except RequestError as exc:
        raise RequestError(500, exc.message) from exc
    return _json({"embedding": done.vectors[0].astype(np.float64)})


async def _openai(request: Request) -> Response:
    try:
        asked = openai_request(await request.body())
        done = await _embedded(request, asked)
    except RequestError as exc:
        return _json(_openai_error(exc), exc.status)
    rows = [_base64(row) for row in done.vectors] if asked.base64 else list(done.vectors)
    data = [
        {"object": "embedding", "embedding": row, "index": index} for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": done.tokens, "total_tokens": done.tokens}
    return _json({"object": "list", "data": data, "model": asked.model, "usage": usage})


async def _load(request: Request, asked: EmbedRequest) -> None:
    runner: Runner = request.app.state.runner
    try:
        await _unless_gone(request, runner.load(asked.options))
    except LocalServiceError as exc:
        raise RequestError(500, str(exc)) from exc


async def _embedded(request: Request, asked: EmbedRequest) -> Embedding:
    runner: Runner = request.app.state.runner
    try:
        done = await _unless_gone(request, runner.embed(asked.texts, asked.options))
    except InputTooLongError as exc:
        raise RequestError(400, str(exc)) from exc
    except LocalServiceError as exc:
        raise RequestError(500, str(exc)) from exc
    if 0 < asked.dimensions < DIMENSIONS:
        shorter = done.vectors[:, : asked.dimensions]
        norms = np.linalg.norm(shorter, axis=1, keepdims=True)
        return replace(done, vectors=shorter / np.maximum(norms, np.float32(1e-12)))
    return done


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work, and give it up when the client has hung up."""
    task = asyncio.ensure_future(work)
    hung_up = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({task, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RequestError(_CLIENT_GONE, "request canceled")
        return task.result()
    finally:
        hung_up.cancel()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(task, hung_up, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _json({"error": error.message}, error.status)


def _openai_error(error: RequestError) -> dict[str, Any]:
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    kind = kinds.get(error.status, "api_error")
    return {"error": {"message": error.message, "type": kind, "param": None, "code": None}}


def _base64(row: NDArray[np.float32]) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def _json(answer: object, status: int = 200) -> Response:
    body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, {"content-type": _JSON})


def _text(text: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse(text, error.status_code, error.headers)

    return answer


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to.")
@click.option("--port", default=11434, show_default=True, help="0 lets the system choose.")
@click.option("--address-file", type=click.Path(path_type=Path), help="Where to write the URL.")
def main(host: str, port: int, address_file: Path | None) -> None:
    """Serve Ollama's embedding API with the built-in all-MiniLM-L6-v2."""
    config = uvicorn.Config(
        application(),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    with socket.create_server((host, port), backlog=_BACKLOG) as listener:
        url = "http://{}:{}".format(*listener.getsockname())
        if address_file is not None:
            address_file.write_text(url)
        click.echo(f"Built-in all-MiniLM-L6-v2 at {url}")
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
