"""A question in, its vector out, made the way the generation's vectors were."""

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.store.generations import Generation


async def embed_query(ollama: Ollama, generation: Generation, query: str) -> NDArray[np.float32]:
    """Embed a question with the generation's model, options and query prefix.

    Returns:
        Array of shape (d,), float32, of unit length.
    """
    answer = await ollama.embed(
        generation.model,
        [generation.query_prefix + query],
        options=generation.options,
        truncate=True,
    )
    vector: NDArray[np.float32] = answer.matrix[0]
    return vector
