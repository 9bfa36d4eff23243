"""A question in, its vector out, made the way the generation's vectors were."""

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.errors import ModelMismatchError
from ingestion_assets.store.generations import Generation


async def check_model(ollama: Ollama, generation: Generation) -> None:
    """Check that the server has the very model that the generation was made with.

    Raises:
        ModelMismatchError: it has another one of the same name; scores would be meaningless.
    """
    digest = await ollama.digest(generation.model)
    if digest != generation.digest:
        raise ModelMismatchError(
            ollama.base_url,
            generation.model,
            f"{generation.model!r} is {digest[:12]} here, but what is stored was made with"
            f" {generation.digest[:12]}; search with that server, or embed again: ingest run",
        )


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
