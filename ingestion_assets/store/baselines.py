"""The vectors that a generation's model gave for known texts at first, and who served it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation

_STORED = """
SELECT texts, vectors, server_version, chunkers, recorded_at FROM ingestion.baselines
WHERE generation_id = %s
"""
_KEEP = """
INSERT INTO ingestion.baselines AS b (generation_id, texts, vectors, server_version, chunkers)
VALUES (%(generation)s, %(texts)s, %(vectors)s::real[], %(server_version)s,
        ARRAY(SELECT DISTINCT chunker FROM ingestion.chunks ORDER BY chunker))
ON CONFLICT (generation_id) DO UPDATE SET
    texts = EXCLUDED.texts, vectors = EXCLUDED.vectors, server_version = EXCLUDED.server_version,
    chunkers = EXCLUDED.chunkers, recorded_at = now()
WHERE b.texts <> EXCLUDED.texts
"""
_DUE = """
SELECT NOT EXISTS (SELECT FROM ingestion.baselines
                   WHERE generation_id = %(generation)s
                     AND compared_at > now() - make_interval(secs => %(seconds)s))
       AND EXISTS (SELECT FROM ingestion.ledger l JOIN ingestion.chunks c USING (chunk_id)
                   WHERE c.partition_key = %(key)s AND l.generation_id = %(generation)s
                     AND NOT l.quarantined)
"""
_COMPARED = "UPDATE ingestion.baselines SET compared_at = now() WHERE generation_id = %s"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was given at first.

    Attributes:
        texts: names them.
        vectors: of n texts, n lists of d numbers.
        chunkers: fingerprints of the chunkers that had made the chunks.
    """

    texts: bytes
    vectors: Sequence[Sequence[float]]
    server_version: str
    chunkers: Sequence[str]
    recorded_at: datetime

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The vectors, float32, shape (n, d)."""
        return np.array(self.vectors, np.float32)


def stored(connection: Connection, generation: Generation) -> Baseline | None:
    """What was recorded; none before anything was embedded."""
    with connection.cursor(row_factory=class_row(Baseline)) as cursor:
        return cursor.execute(_STORED, (generation.generation_id,)).fetchone()


def keep(
    connection: Connection,
    generation: Generation,
    texts: bytes,
    matrix: NDArray[np.float32],
    server_version: str,
) -> None:
    """Record what a server gives, unless that was done for these texts: what came first counts."""
    given = {
        "generation": generation.generation_id,
        "texts": texts,
        "vectors": matrix.tolist(),
        "server_version": server_version,
    }
    connection.execute(_KEEP, given)


def due(connection: Connection, generation: Generation, partition_key: str, seconds: float) -> bool:
    """Whether a partition has something to embed, and nothing was compared for so long."""
    given = {
        "generation": generation.generation_id,
        "key": partition_key,
        "seconds": seconds,
    }
    row = connection.execute(_DUE, given).fetchone()
    return bool(row and row[0])


def compared(connection: Connection, generation: Generation) -> None:
    """Note that it was compared just now."""
    connection.execute(_COMPARED, (generation.generation_id,))
