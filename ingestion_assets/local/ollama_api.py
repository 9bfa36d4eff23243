"""Requests in Ollama's API, checked in Ollama's order, refused with Ollama's words.

Source: server/routes.go, api/types.go and middleware/openai.go of Ollama 0.33.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingestion_assets.local import go_duration, go_json
from ingestion_assets.local.minilm import CONTEXT
from ingestion_assets.local.runner import Options

NAMES = ("all-minilm", "all-minilm:latest", "all-minilm:l6-v2", "all-minilm:22m")

_EMBED = {
    "model": "string",
    "input": "interface {}",
    "truncate": "bool",
    "dimensions": "int",
    "keep_alive": "interface {}",
    "options": "map[string]interface {}",
}
_LEGACY = {
    "model": "string",
    "prompt": "string",
    "keep_alive": "interface {}",
    "options": "map[string]interface {}",
}
_OPENAI = {
    "model": "string",
    "input": "interface {}",
    "dimensions": "int",
    "encoding_format": "string",
}
_NAMED = {"model": "string", "name": "string", "stream": "bool"}

_INTEGER = ((int, float), "of type integer")
_FLOAT = ((int, float), "of type float32")
_OPTION_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "num_ctx": _INTEGER,
    "num_batch": _INTEGER,
    "num_gpu": _INTEGER,
    "num_thread": _INTEGER,
    "num_keep": _INTEGER,
    "num_predict": _INTEGER,
    "main_gpu": _INTEGER,
    "seed": _INTEGER,
    "top_k": _INTEGER,
    "repeat_last_n": _INTEGER,
    "temperature": _FLOAT,
    "top_p": _FLOAT,
    "min_p": _FLOAT,
    "typical_p": _FLOAT,
    "repeat_penalty": _FLOAT,
    "presence_penalty": _FLOAT,
    "frequency_penalty": _FLOAT,
    "use_mmap": ((bool,), "of type boolean"),
    "stop": ((list,), "of type array"),
}

_PART = r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,79}"
_NAME = re.compile(rf"(?:(?:[\w.:-]{{1,350}}/)?{_PART}/)?{_PART}(?::{_PART})?", re.ASCII)


class RequestError(Exception):
    """What Ollama answers instead of doing it: a status and a text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """A checked request for vectors.

    Attributes:
        texts: none to embed means: load the model.
        dimensions: wanted length; 0 or anything not below the model's means the model's.
    """

    model: str
    texts: list[str]
    options: Options
    dimensions: int = 0
    base64: bool = False


def embed_request(body: bytes) -> EmbedRequest:
    """Check the body of POST /api/embed.

    Raises:
        RequestError: the request is not acceptable.
    """
    fields = _decode(body, "EmbedRequest", _EMBED)
    keep_alive = _keep_alive(fields)
    model = fields.get("model", "")
    if not model:
        raise RequestError(404, "model '' not found")
    if not _NAME.fullmatch(model):
        raise RequestError(400, "invalid model name")
    texts = _texts(fields.get("input"))
    _require(model)
    context = _context(fields)
    options = Options(context, fields.get("truncate", True), keep_alive)
    return EmbedRequest(model, texts, options, fields.get("dimensions", 0))


def legacy_request(body: bytes) -> EmbedRequest:
    """Check the body of POST /api/embeddings, which never truncates.

    Raises:
        RequestError: the request is not acceptable.
    """
    fields = _decode(body, "EmbeddingRequest", _LEGACY)
    keep_alive = _keep_alive(fields)
    model = fields.get("model", "")
    if not _NAME.fullmatch(model):
        raise RequestError(400, "model is required")
    _require(model)
    options = Options(_context(fields), truncate=False, keep_alive=keep_alive)
    return EmbedRequest(model, _texts(fields.get("prompt")), options)


def openai_request(body: bytes) -> EmbedRequest:
    """Check the body of POST /v1/embeddings.

    Raises:
        RequestError: the request is not acceptable.
    """
    fields = _decode(body, "EmbedRequest", _OPENAI, empty=go_json.EMPTY_BODY)
    encoding = fields.get("encoding_format", "")
    if encoding.lower() not in ("", "float", "base64"):
        raise RequestError(
            400,
            f"Invalid value for 'encoding_format' = {encoding}. "
            "Supported values: ['float', 'base64'].",
        )
    given = fields.get("input")
    if given is None or given == []:
        raise RequestError(400, "invalid input")
    model = fields.get("model", "")
    if not model:
        raise RequestError(404, "model '' not found")
    if not _NAME.fullmatch(model):
        raise RequestError(400, "invalid model name")
    texts = _texts([""] if given == "" else given)
    _require(model)
    base64 = encoding.lower() == "base64"
    return EmbedRequest(model, texts, Options(), fields.get("dimensions", 0), base64)


def named_request(body: bytes, struct: str, *, absent: str) -> tuple[str, bool]:
    """Model name and `stream` of a request about a model; `absent` refuses one without a name.

    Raises:
        RequestError: the request is not acceptable.
    """
    fields = _decode(body, struct, _NAMED)
    name = fields.get("model") or fields.get("name") or ""
    if not name:
        raise RequestError(400, absent)
    if not _NAME.fullmatch(name):
        raise RequestError(400, "invalid model name")
    return name, fields.get("stream", True)


def with_tag(name: str) -> str:
    """The full name of a model: without a tag it is the latest."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _decode(
    body: bytes, struct: str, types: Mapping[str, str], *, empty: str = "missing request body"
) -> dict[str, Any]:
    try:
        return go_json.decode(body, struct, types)
    except go_json.DecodeError as exc:
        message = str(exc)
        raise RequestError(400, empty if message == go_json.EMPTY_BODY else message) from exc


def _keep_alive(fields: Mapping[str, Any]) -> float | None:
    if "keep_alive" not in fields:
        return None
    try:
        return go_duration.keep_alive_seconds(fields["keep_alive"])
    except ValueError as exc:
        raise RequestError(400, str(exc)) from exc


def _texts(given: object) -> list[str]:
    if given is None or given == "":
        return []
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestError(400, "invalid input type")
    return [go_json.replace_surrogates(text) for text in texts]


def _require(model: str) -> None:
    if model not in NAMES:
        raise RequestError(404, f'model "{model}" not found, try pulling it first')


def _context(fields: Mapping[str, Any]) -> int:
    options = fields.get("options", {})
    for name, value in options.items():
        types, wanted = _OPTION_TYPES.get(name, ((object,), ""))
        if wanted and value is not None and type(value) not in types:
            raise RequestError(500, f'option "{name}" must be {wanted}')
    context = options.get("num_ctx")
    return CONTEXT if context is None else int(context)
