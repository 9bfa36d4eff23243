"""What moves between the rooms: a partition's changes, texts to embed, vectors to store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Changes(Generic[Row]):
    """One transaction's worth of a partition's difference.

    Attributes:
        rows: rows to insert, or to put in the place of the stored row with the same id.
        gone: ids of stored rows that vanished from the source.
    """

    rows: Sequence[Row] = ()
    gone: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A chunk that needs a vector: exactly the text to embed, prefix included.

    Attributes:
        content_hash: 16 bytes; names what is embedded, and travels with the vector.
        tokens: tokens of the text, as the chunker counted or estimated them.
    """

    chunk_id: UUID
    content_hash: bytes
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of n chunks.

    Attributes:
        ids: n chunk ids.
        hashes: n content hashes of 16 bytes, of the texts the vectors were made from.
        matrix: float32, shape (n, d), rows of unit length in the order of `ids`.
    """

    ids: Sequence[UUID]
    hashes: Sequence[bytes]
    matrix: NDArray[np.float32]
