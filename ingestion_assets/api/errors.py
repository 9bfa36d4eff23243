"""Whatever went wrong in, `{"error", "detail"}` with the right status out."""

import logging
from collections.abc import Mapping
from math import ceil

import orjson
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ingestion_assets.errors import (
    ConfigError,
    ContentError,
    IngestionError,
    OllamaBusyError,
    OllamaError,
    OllamaTimeoutError,
    QueryError,
    StoreUnavailableError,
)

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "too_many_requests",
    500: "internal_error",
    502: "ollama_failed",
    503: "unavailable",
    504: "timeout",
}
_PLAIN = {
    "Not Found": "there is no such path; /openapi.json lists them",
    "Method Not Allowed": "the path takes another method; see the header Allow",
}
GONE = 499  # as nginx has it
_OUR_FAULT = "an error of the server itself; its log says more"
_RETRY_AFTER = 1  # seconds, where nobody knows better

logger = logging.getLogger(__name__)


def failure(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says what went wrong."""
    body = orjson.dumps({"error": CODES.get(status, "error"), "detail": detail})
    return Response(body, status, headers, media_type="application/json")


def status_of(error: IngestionError) -> int:
    """The HTTP status of one of our errors."""
    if isinstance(error, (ConfigError, ContentError, QueryError)):
        return 422
    if isinstance(error, OllamaTimeoutError):
        return 504
    if isinstance(error, OllamaError):
        return 503 if error.retryable else 502
    return 503 if isinstance(error, StoreUnavailableError) else 500


async def on_ingestion_error(_: Request, error: Exception) -> Response:
    """One of ours; its message is made to be read."""
    assert isinstance(error, IngestionError)
    status = status_of(error)
    if status >= 500:
        logger.warning("%s: %s", type(error).__name__, error)
    if status == 500:
        return failure(500, _OUR_FAULT)
    wait = error.retry_after if isinstance(error, OllamaBusyError) else None
    headers = {"Retry-After": str(ceil(wait or _RETRY_AFTER))} if status == 503 else None
    return failure(status, str(error), headers)


async def on_http_error(_: Request, error: Exception) -> Response:
    """Starlette's own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    return failure(error.status_code, _PLAIN.get(error.detail, error.detail), error.headers)


async def on_invalid(_: Request, error: Exception) -> Response:
    """A request that does not have the form it must have; says which part."""
    assert isinstance(error, ValidationError)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    parts = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in found[:5]]
    return failure(422, "; ".join(parts))


async def on_timeout(_: Request, __: Exception) -> Response:
    """The request took longer than it may."""
    return failure(504, "the request took too long; ask for less, or raise INGEST_API_TIMEOUT")


async def on_gone(_: Request, __: Exception) -> Response:
    """The client left before it had sent everything; nobody reads this."""
    return failure(GONE, "the client has gone")


async def on_bug(_: Request, __: Exception) -> Response:
    """Anything else is our fault: the log has it, the client does not."""
    return failure(500, _OUR_FAULT)
