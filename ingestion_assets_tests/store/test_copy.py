"""Hand-packed rows are what pgvector itself sends and receives."""

from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from psycopg import sql

from ingestion_assets.changes import Vectors
from ingestion_assets.errors import DimensionError
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.copy import copy_vectors, packed
from ingestion_assets_tests.store import rows

NUMBERS = [0.0, -0.0, 1.0, -1.5, 1 / 3, 6e-5, -3e-8, 65504.0]


def _vectors(n: int, dimensions: int) -> Vectors:
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((n, dimensions)).astype(np.float32)
    return Vectors([uuid4() for _ in range(n)], [rng.bytes(16) for _ in range(n)], matrix)


def _sent(connection: Connection, kind: str, matrix: NDArray[np.float32]) -> list[bytes]:
    """What pgvector sends for each row of a matrix, given to it as text."""
    query = sql.SQL("SELECT {send}(%s::{kind})").format(
        send=sql.Identifier(f"{kind}_send"), kind=sql.Identifier(kind)
    )
    texts = [f"[{','.join(repr(float(number)) for number in row)}]" for row in matrix]
    return [sent for t in texts for (sent,) in connection.execute(query, (t,), binary=True)]


@pytest.mark.parametrize(("kind", "half"), [("vector", False), ("halfvec", True)])
def test_a_vector_is_packed_as_pgvector_sends_it(connection, kind, half):
    numbers = np.array([NUMBERS, NUMBERS[::-1]], np.float32)
    vectors = Vectors([UUID(int=1), UUID(int=2)], [b"a" * 16, b"b" * 16], numbers)
    one, two = _sent(connection, kind, numbers)
    assert bytes(packed(vectors, half=half)) == b"".join(
        b"\0\3" + b"\0\0\0\x10" + UUID(int=i).bytes + b"\0\0\0\x10" + hashed
        + len(sent).to_bytes(4, "big") + sent
        for i, hashed, sent in ((1, b"a" * 16, one), (2, b"b" * 16, two))
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["C", "F", "strided", "float64"])
def test_any_memory_layout_is_packed_alike(layout):
    vectors = _vectors(7, 6)
    wide = np.zeros((14, 12), np.float32)
    wide[::2, ::2] = vectors.matrix
    layouts: dict[str, NDArray[Any]] = {
        "C": np.ascontiguousarray(vectors.matrix),
        "F": np.asfortranarray(vectors.matrix),
        "strided": wide[::2, ::2],
        "float64": vectors.matrix.astype(np.float64),
    }
    other = Vectors(vectors.ids, vectors.hashes, layouts[layout])
    assert bytes(packed(other, half=False)) == bytes(packed(vectors, half=False))


def test_no_rows_are_packed_as_nothing():
    assert bytes(packed(Vectors([], [], np.empty((0, 4), np.float32)), half=False)) == b""


# 2,000 dimensions just fit on a page, 2,001 become a halfvec, 5,000 of these are TOASTed.
@pytest.mark.parametrize("dimensions", [1, 384, 768, 1024, 2000, 2001, 4000, 5000])
def test_vectors_of_any_width_arrive_as_they_left(connection, dimensions):
    generation = rows.generation(connection, dimensions)
    _, pieces = rows.store(connection, "a.md", ["one", "two", "three"])
    with connection.transaction():
        copy_vectors(connection, generation, rows.vectors(pieces, dimensions))
    assert len(rows.stored_vectors(connection, generation)) == 3
    assert rows.every_vector_belongs_to_its_text(connection, generation)


@pytest.mark.parametrize("n", [0, 1])
def test_another_width_than_the_generations_is_refused(connection, n):
    generation = rows.generation(connection, 4)
    with pytest.raises(DimensionError, match="4 dimensions, the model gave 3") as caught:
        copy_vectors(connection, generation, _vectors(n, 3))
    assert (caught.value.want, caught.value.got) == (4, 3)
    assert caught.value.table == generation.name
