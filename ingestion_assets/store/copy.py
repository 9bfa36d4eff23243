"""Vectors to and from Postgres in binary, without a Python object per number."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from ingestion_assets.changes import Vectors
from ingestion_assets.errors import DimensionError
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_BYTES_AT_ONCE = 512 * 1024  # of vectors that are packed


def copy_vectors(connection: Connection, generation: Generation, vectors: Vectors) -> None:
    """COPY vectors into a generation's table, inside the caller's transaction.

    Raises:
        DimensionError: the matrix has another width than the generation.
    """
    width = vectors.matrix.shape[1]
    if width != generation.dimensions:
        raise DimensionError(generation.name, generation.dimensions, width)
    statement = sql.SQL(
        "COPY {} (chunk_id, content_hash, embedding) FROM STDIN (FORMAT BINARY)"
    ).format(generation.table)
    with connection.cursor().copy(statement) as copy:
        copy.write(_HEADER)
        for part in _parts(vectors):
            copy.write(packed(part, half=generation.storage == "halfvec"))
        copy.write(_TRAILER)


def _parts(vectors: Vectors) -> Iterator[Vectors]:
    """The vectors by the few, so that there is never a second copy of all of them."""
    rows = max(1, _BYTES_AT_ONCE // (4 * vectors.matrix.shape[1]))
    for start in range(0, len(vectors.ids), rows):
        part = slice(start, start + rows)
        yield Vectors(vectors.ids[part], vectors.hashes[part], vectors.matrix[part])


def packed(vectors: Vectors, *, half: bool) -> bytes:
    """The rows of a binary COPY: every field has a fixed width, so one array holds them all."""
    n, dimensions = vectors.matrix.shape
    rows: NDArray[Any] = np.zeros(n, _layout(dimensions, half))
    rows["fields"] = 3
    rows["id_length"] = rows["hash_length"] = 16
    rows["id"] = np.frombuffer(b"".join(i.bytes for i in vectors.ids), "V16")
    rows["hash"] = np.frombuffer(b"".join(vectors.hashes), "V16")
    rows["vector_length"] = 4 + dimensions * (2 if half else 4)
    rows["dimensions"] = dimensions
    rows["vector"] = vectors.matrix
    return rows.tobytes()


@cache
def _layout(dimensions: int, half: bool) -> np.dtype[Any]:
    return np.dtype(
        [
            ("fields", ">i2"),
            ("id_length", ">i4"),
            ("id", "V16"),
            ("hash_length", ">i4"),
            ("hash", "V16"),
            ("vector_length", ">i4"),
            ("dimensions", ">i2"),
            ("unused", ">i2"),
            ("vector", ">f2" if half else ">f4", (dimensions,)),
        ]
    )


def unpacked(wire: Sequence[bytes], generation: Generation) -> NDArray[np.float32]:
    """Vectors as Postgres sends them, as float32 of shape (n, d); their first 4 bytes are sizes."""
    number = ">f2" if generation.storage == "halfvec" else ">f4"
    body = b"".join(value[4:] for value in wire)
    return np.frombuffer(body, number).astype(np.float32).reshape(-1, generation.dimensions)
