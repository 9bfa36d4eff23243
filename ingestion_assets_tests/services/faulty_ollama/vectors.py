"""Deterministic vectors: a text always has the same one, and no two texts share theirs.

A vector is put together from pieces of 16 numbers, each picked from a table by a byte of the
text's hash. All pieces are of equal length, so the vector is a unit vector without further
arithmetic, and its JSON is put together from ready-made pieces: a million vectors a second.
"""

from hashlib import shake_128

import numpy as np
import orjson
from numpy.typing import NDArray

PIECE = 16


class Vectors:
    """The vectors of a model of so many dimensions (a multiple of 16).

    Args:
        model: sets it apart from others of as many dimensions.
    """

    def __init__(self, dimensions: int = 384, model: str = "") -> None:
        if dimensions % PIECE:
            raise ValueError(f"{dimensions} dimensions are not a multiple of {PIECE}")
        self.dimensions = dimensions
        self._pieces = dimensions // PIECE
        self._salt = model.encode()
        table = np.random.default_rng(20240817).standard_normal((256, PIECE))
        table /= np.linalg.norm(table, axis=1, keepdims=True) * np.sqrt(self._pieces)
        self._table = table.astype(np.float32)
        self._json = [_encode(row)[1:-1] for row in self._table]

    def vector(self, text: str, dimensions: int | None = None) -> NDArray[np.float32]:
        """The unit vector of a text; fewer dimensions are cut off it and scaled, as Ollama does."""
        whole = self._table[np.frombuffer(self._digest(text), dtype=np.uint8)].ravel()
        if not dimensions or not 0 < dimensions < self.dimensions:
            return whole
        cut = whole[:dimensions]
        return cut / np.linalg.norm(cut)

    def encode(self, text: str, dimensions: int | None = None) -> bytes:
        """The JSON array of the vector of a text."""
        if dimensions and 0 < dimensions < self.dimensions:
            return _encode(self.vector(text, dimensions))
        pieces = self._json
        return b"[" + b",".join([pieces[byte] for byte in self._digest(text)]) + b"]"

    def _digest(self, text: str) -> bytes:
        return shake_128(self._salt + text.encode("utf-8", "surrogatepass")).digest(self._pieces)


def _encode(row: NDArray[np.float32]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
