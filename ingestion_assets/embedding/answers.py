"""The body of an /api/embed answer in, a checked float32 matrix out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ingestion_assets.errors import OllamaAnswerError

DEAD_NORM = 0.5
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Answer:
    """Vectors of n texts, in their order.

    Attributes:
        matrix: float32, shape (n, d); rows are of unit length, except those in `dead`.
        dead: rows that are no vectors: all zero, or not finite. Never store them.
        tokens: tokens the server counted, special tokens included.
        load_seconds: how long the request waited for the model; over 0.5 means it was loaded.
        total_seconds: how long the server worked, by its own clock.
    """

    matrix: NDArray[np.float32]
    dead: tuple[int, ...]
    tokens: int
    load_seconds: float
    total_seconds: float


def decode(body: bytes, n: int, endpoint: str, dimensions: int | None = None) -> Answer:
    """Decode an answer to n texts and check it.

    Ollama's vectors are of unit length. One that is off by more than 1e-3 is scaled to it, since
    an inner product on the stored vectors must be their cosine.

    Args:
        dimensions: what every vector must have; none accepts any.

    Raises:
        OllamaAnswerError: not JSON, not n vectors, or of unequal or unexpected length.
    """
    parsed = _parse(body, endpoint)
    matrix = _matrix(parsed.get("embeddings"), n, endpoint)
    if dimensions is not None and n and matrix.shape[1] != dimensions:
        raise OllamaAnswerError(
            endpoint, f"vectors of {matrix.shape[1]} dimensions instead of {dimensions}"
        )
    return Answer(
        matrix,
        _normalise(matrix),
        _count(parsed, "prompt_eval_count"),
        _count(parsed, "load_duration") / 1e9,
        _count(parsed, "total_duration") / 1e9,
    )


def _parse(body: bytes, endpoint: str) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise OllamaAnswerError(endpoint, f"the answer is not JSON: {body[:80]!r}") from exc
    if not isinstance(parsed, dict):
        raise OllamaAnswerError(endpoint, f"the answer is not an object: {body[:80]!r}")
    return parsed


def _matrix(rows: object, n: int, endpoint: str) -> NDArray[np.float32]:
    if not isinstance(rows, list) or len(rows) != n:
        got = len(rows) if isinstance(rows, list) else "no"
        raise OllamaAnswerError(endpoint, f"{got} vectors for {n} texts")
    # A null among the numbers becomes NaN here, and so a dead row. Measured beside fromiter,
    # array.array and row by row: within 15 % of each other, and less than the parsing.
    try:
        matrix = np.asarray(rows, dtype=np.float32).reshape(n, -1) if n else np.empty((0, 0))
    except (ValueError, TypeError) as exc:
        raise OllamaAnswerError(endpoint, "vectors of unequal length or not of numbers") from exc
    if n and not matrix.shape[1]:
        raise OllamaAnswerError(endpoint, f"{n} empty vectors")
    return matrix.astype(np.float32, copy=False)


def _normalise(matrix: NDArray[np.float32]) -> tuple[int, ...]:
    """Scale rows to unit length in place where they are off; returns the dead ones."""
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    alive = np.isfinite(norms) & (norms >= DEAD_NORM)
    off = alive & (np.abs(norms - 1) > UNIT_TOLERANCE)
    if off.any():
        matrix[off] /= norms[off, None]
    return tuple(np.flatnonzero(~alive).tolist())


def _count(parsed: dict[str, Any], key: str) -> int:
    value = parsed.get(key, 0)  # Ollama omits what is 0
    return value if isinstance(value, int) else 0
