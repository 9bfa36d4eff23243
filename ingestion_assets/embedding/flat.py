"""The body of a usual /api/embed answer in, its matrix out, without an object per number."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from simdjson import Array, Object, Parser


def read(body: bytes, n: int) -> tuple[NDArray[np.float32], Mapping[str, object]] | None:
    """The n vectors of an answer and what else it says; none for whatever is unusual about it.

    None says nothing of what is wrong, or whether anything is: another reader has to find out.

    Returns:
        Array of shape (n, d), float32, its numbers not checked; the other keys of the answer.
    """
    # Arrays within a row would be flattened: there must be one bracket for the list and one for
    # each row. A byte order mark is skipped, which other readers refuse.
    if not n or not body.startswith(b"{") or _brackets(body) != n + 1:
        return None
    try:
        return _read(Parser().parse(body), n)
    except (ValueError, TypeError, KeyError, RuntimeError):
        return None


def _read(document: object, n: int) -> tuple[NDArray[np.float32], Mapping[str, object]] | None:
    if not isinstance(document, Object) or len(set(document)) != len(document):
        return None  # of a key that is there twice, the first one would be read
    rows = document["embeddings"]
    if not isinstance(rows, Array) or len(rows) != n:
        return None
    widths = {len(row) if isinstance(row, Array) else 0 for row in rows}
    numbers = np.frombuffer(rows.as_buffer(of_type="d"))
    if len(widths) != 1 or not numbers.size or numbers.size != n * max(widths):
        return None
    with np.errstate(over="ignore"):
        matrix = numbers.reshape(n, -1).astype(np.float32)
    return matrix, {key: document[key] for key in document if key != "embeddings"}


def _brackets(body: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("[")))
