"""The schemas in, the OpenAPI document out."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from ingestion_assets import __version__
from ingestion_assets.api.errors import CODES
from ingestion_assets.api.requests import QueryRequest, SearchRequest
from ingestion_assets.api.schemas import (
    Alive,
    AnswerLine,
    ErrorLine,
    Failure,
    Health,
    Pools,
    QueryResponse,
    Ready,
    ResultsLine,
    SearchResponse,
    TokenLine,
)

_JSON = "application/json"
_LINES = "application/x-ndjson"
_ALWAYS = (400, 401, 403, 405, 413, 429, 500, 503)  # any request, before it is looked at
_SEARCHING = (*_ALWAYS, 422, 502, 504)
_MODELS: tuple[type[BaseModel], ...] = (
    Alive, AnswerLine, ErrorLine, Failure, Health, Pools, QueryRequest, QueryResponse, Ready,
    ResultsLine, SearchResponse, TokenLine,
)  # fmt: skip


def document() -> dict[str, Any]:
    """The description of the API, OpenAPI 3.1."""
    _, schemas = models_json_schema(
        [(model, "validation" if model is QueryRequest else "serialization") for model in _MODELS],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ingestion-assets",
            "version": __version__,
            "description": "Search over what was ingested, and answers from it.",
        },
        "paths": _paths(),
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        # The empty one: a service without INGEST_API_KEY asks for none.
        "security": [{"bearer": []}, {"header": []}, {}],
    }


def _paths() -> dict[str, Any]:
    return {
        "/api/search": {
            "get": _operation(
                "search",
                "The passages that fit best.",
                _content(_JSON, SearchResponse),
                errors=_SEARCHING,
                parameters=_parameters(),
            )
        },
        "/api/query": {
            "post": _operation(
                "query",
                "The passages that fit best and, if asked for, an answer from them.",
                _content(_JSON, QueryResponse) | _ndjson(),
                errors=(*_SEARCHING, 415),
                requestBody={"required": True, "content": _content(_JSON, QueryRequest)},
            )
        },
        "/api/documents/{document_id}": {
            "get": _operation(
                "document",
                "A document's text, as it is stored.",
                {"text/plain": {"schema": {"type": "string"}}},
                errors=(*_ALWAYS, 404, 504),
                parameters=[_document_id()],
            )
        },
        "/api/pool/stats": _get("pools", "How much of the pools is in use.", Pools),
        "/health": {
            "get": _operation(
                "health",
                "How everything is; 503 with the same body when unhealthy.",
                _content(_JSON, Health),
                errors=_ALWAYS,
                unhealthy=True,
            )
        },
        "/health/live": _get("alive", "Whether the process serves at all.", Alive),
        "/health/ready": _get("ready", "Whether searches can be answered.", Ready),
        "/metrics": {
            "get": _operation(
                "metrics",
                "Figures for Prometheus.",
                {"text/plain": {"schema": {"type": "string"}}},
                errors=_ALWAYS,
            )
        },
    }


def _get(name: str, summary: str, model: type[BaseModel]) -> dict[str, Any]:
    return {"get": _operation(name, summary, _content(_JSON, model), errors=_ALWAYS)}


def _operation(
    name: str,
    summary: str,
    content: Mapping[str, Any],
    *,
    errors: Sequence[int],
    unhealthy: bool = False,
    **parts: Any,
) -> dict[str, Any]:
    responses = {"200": {"description": summary, "content": content}}
    for status in errors:
        responses[str(status)] = {
            "description": CODES[status].replace("_", " "),
            "content": _content(_JSON, Failure),
        }
    if unhealthy:
        either = [_ref(Health), _ref(Failure)]
        responses["503"]["content"] = {_JSON: {"schema": {"anyOf": either}}}
    return {"operationId": name, "summary": summary, "responses": responses, **parts}


def _content(media_type: str, model: type[BaseModel]) -> dict[str, Any]:
    return {media_type: {"schema": _ref(model)}}


def _ndjson() -> dict[str, Any]:
    """One JSON document a line; described, since JSON Schema knows no lines."""
    kinds = ", ".join(model.__name__ for model in (ResultsLine, TokenLine, AnswerLine, ErrorLine))
    return {_LINES: {"schema": {"type": "string", "description": f"Each line is one of: {kinds}"}}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _parameters() -> list[dict[str, Any]]:
    schema = TypeAdapter(SearchRequest).json_schema()
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": field.get("description", ""),
            "schema": _without_null(field),
        }
        for name, field in schema["properties"].items()
    ]


def _without_null(field: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter that is left out is simply not there; there is no null in a URL."""
    given = [kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"]
    schema = given[0] if given else dict(field)
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


def _document_id() -> dict[str, Any]:
    schema = {"type": "string", "format": "uuid"}
    return {"name": "document_id", "in": "path", "required": True, "schema": schema}
