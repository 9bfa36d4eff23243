"""Answers to texts of which something is known in, the vector of the canary out."""

import asyncio
from collections.abc import Awaitable

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding.answers import Answer
from ingestion_assets.errors import MixedVectorsError, OllamaAnswerError

CANARY = "The quick brown fox jumps over the lazy dog."
NEIGHBOURS = ("Rain is expected in the north tomorrow.", "Add two eggs and stir.")
SAME = 0.999  # cosine of two vectors of one text, if nothing is wrong


def vector(alone: Answer, listed: Answer, model: str, endpoint: str) -> NDArray[np.float32]:
    """The canary's vector, shape (d,).

    Args:
        alone: the answer to the canary.
        listed: the answer to the canary and its neighbours, in which it must have the same one.

    Raises:
        OllamaAnswerError: a vector is dead, or they are of unequal length.
        MixedVectorsError: the canary has another vector in the list, or a neighbour has its own.
    """
    if alone.dead or listed.dead:
        raise OllamaAnswerError(
            endpoint, f"{model!r} gives dead vectors; unload it with `ollama stop {model}`"
        )
    if alone.matrix.shape[1] != listed.matrix.shape[1]:
        raise OllamaAnswerError(endpoint, f"{model!r} gives vectors of changing length")
    cosines = listed.matrix @ alone.matrix[0]
    if cosines[0] < SAME or cosines[1:].max() >= SAME:
        raise MixedVectorsError(
            endpoint,
            f"{model!r} mixes vectors up: cosines of a text with a list that begins with it"
            f" are {cosines.tolist()}; update Ollama",
        )
    canary: NDArray[np.float32] = alone.matrix[0]
    return canary


async def both(one: Awaitable[Answer], other: Awaitable[Answer]) -> tuple[Answer, Answer]:
    """Two answers, asked for at once; neither is under way any more when the other failed."""
    tasks = [asyncio.ensure_future(each) for each in (one, other)]
    await asyncio.gather(*tasks, return_exceptions=True)
    return tasks[0].result(), tasks[1].result()
