"""Vectors as they were found in, those of them that can be stored out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_UNIT_TOLERANCE = 1e-3  # half-precision vectors stay within it


@dataclass(frozen=True, slots=True)
class Sound:
    """The usable ones of some vectors.

    Attributes:
        matrix: float32, shape (n, d), rows of unit length.
        positions: of these n among all.
        normalised: of these n, those that had another length.
    """

    matrix: NDArray[np.float32]
    positions: Sequence[int]
    normalised: int


def sound(vectors: Sequence[NDArray[np.float32]], dimensions: int) -> Sound:
    """Leave out what is of another dimension, zero or not finite; scale the rest to length 1."""
    fitting = [i for i, vector in enumerate(vectors) if len(vector) == dimensions]
    matrix = np.array([vectors[i] for i in fitting], np.float32).reshape(-1, dimensions)
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
    alive = np.isfinite(norms) & (norms > 0)
    matrix, norms = matrix[alive], norms[alive]
    off = np.abs(norms - 1) > _UNIT_TOLERANCE
    matrix[off] = matrix[off] / norms[off, None]
    positions = [i for i, is_alive in zip(fitting, alive, strict=True) if is_alive]
    return Sound(matrix, positions, int(off.sum()))
