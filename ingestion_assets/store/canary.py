"""The vector that a generation's model gave a fixed sentence, by which it is known again."""

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation


def stored(connection: Connection, generation: Generation) -> NDArray[np.float32] | None:
    """The vector as it was first, float32, shape (d,); none if nothing was embedded yet."""
    row = connection.execute(
        "SELECT canary FROM ingestion.generations WHERE generation_id = %s",
        (generation.generation_id,),
    ).fetchone()
    return None if row is None or row[0] is None else np.array(row[0], np.float32)


def keep(connection: Connection, generation: Generation, vector: NDArray[np.float32]) -> None:
    """Store the vector, unless the generation has one: what came first is what counts."""
    connection.execute(
        "UPDATE ingestion.generations SET canary = %s::real[]"
        " WHERE generation_id = %s AND canary IS NULL",
        (vector.tolist(), generation.generation_id),
    )
