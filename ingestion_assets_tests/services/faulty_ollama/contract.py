"""What Ollama's embedding endpoints accept: bodies in, a Job or the error it answers out."""

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

TOKEN = re.compile(r"\w+|[^\w\s]")
SPECIAL = 2  # CLS and SEP
_KINDS = {bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_DURATION = re.compile(r"[-+]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+")


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


@dataclass(slots=True)
class Job:
    """A valid embedding request; `model` is empty when none was named."""

    model: str
    texts: list[str]
    dimensions: int | None = None
    truncate: bool = True
    num_ctx: int | None = None
    num_batch: int | None = None
    unload: bool = False
    tokens: list[int] = field(default_factory=list)


def parse_embed(body: bytes) -> Job:
    """The job of an /api/embed body, checked in Ollama's own order."""
    request = _json_object(body, "EmbedRequest")
    keep_alive = request.get("keep_alive")
    _check_keep_alive(keep_alive)
    texts = _texts(request.get("input"))
    return Job(
        model=request.get("model") or "",
        texts=texts,
        dimensions=request.get("dimensions"),
        truncate=request.get("truncate", True) is not False,
        num_ctx=_option(request, "num_ctx"),
        num_batch=_option(request, "num_batch"),
        unload=not texts and keep_alive in (0, "0", "0s"),
    )


def parse_legacy(body: bytes) -> Job:
    """The job of an /api/embeddings body."""
    request = _json_object(body, "EmbeddingRequest")
    if not request.get("model"):
        raise RefusedError(400, "model is required")
    prompt = _string(request, "EmbeddingRequest", "prompt")
    return Job(request["model"], [prompt] if prompt else [])


def parse_openai(body: bytes) -> tuple[Job, bool]:
    """The job of a /v1/embeddings body, and whether it wants base64."""
    request = _json_object(body, "EmbedRequest")
    given = request.get("input")
    if given is None or given == []:
        raise RefusedError(400, "invalid input")
    texts = _texts([given] if given == "" else given)
    job = Job(request.get("model") or "", texts, dimensions=request.get("dimensions"))
    return job, request.get("encoding_format") == "base64"


def measure(job: Job, context: int) -> None:
    """Count tokens, and cut or refuse what is over the context, as `truncate` says."""
    limit = min(job.num_ctx or context, context) - SPECIAL
    for i, text in enumerate(job.texts):
        tokens = list(TOKEN.finditer(text))
        if len(tokens) > limit:
            if not job.truncate:
                raise RefusedError(400, "the input length exceeds the context length")
            if limit <= 0:
                raise RefusedError(400, "input after truncation exceeds maximum context length")
            job.texts[i] = text[: tokens[limit - 1].end()]
        job.tokens.append(min(len(tokens), limit) + SPECIAL)


def _json_object(body: bytes, struct: str) -> dict[str, Any]:
    if not body:
        raise RefusedError(400, "missing request body")
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        character = body[exc.pos : exc.pos + 1].decode("latin-1")
        looking = f"invalid character {character!r} looking for beginning of value"
        raise RefusedError(400, looking if character else "unexpected EOF") from exc
    if not isinstance(request, dict):
        raise RefusedError(400, f"json: cannot unmarshal array into Go value of type api.{struct}")
    model = _string(request, struct, "model")
    if model and not re.fullmatch(r"[\w./:-]+", model):
        raise RefusedError(400, "invalid model name")
    return request


def _string(request: dict[str, Any], struct: str, name: str) -> str:
    value = request.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    where = f"Go struct field {struct}.{name} of type string"
    raise RefusedError(400, f"json: cannot unmarshal {_KINDS[type(value)]} into {where}")


def _check_keep_alive(value: object) -> None:
    if isinstance(value, bool):
        raise RefusedError(400, "Unsupported type: 'bool'")
    if isinstance(value, str) and value != "0" and not _DURATION.fullmatch(value):
        raise RefusedError(400, f'time: missing unit in duration "{value}"')


def _texts(given: object) -> list[str]:
    if given is None or given == "":
        return []
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RefusedError(400, "invalid input type")
    return texts


def _option(request: dict[str, Any], name: str) -> int | None:
    value = (request.get("options") or {}).get(name)
    if value is not None and not isinstance(value, int):
        raise RefusedError(500, f'option "{name}" must be of type integer')
    return value
