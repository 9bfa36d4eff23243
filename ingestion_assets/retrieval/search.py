"""A question's vector in, the nearest chunks out."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation

# "+ 0" keeps the planner off an approximate index, which may return fewer rows than exist.
_SEARCH = """
WITH nearest AS MATERIALIZED (
    SELECT e.chunk_id, (e.embedding <=> %(vector)s) + 0 AS distance
    FROM {table} e {filter}
    ORDER BY distance, e.chunk_id
    LIMIT %(k)s
)
SELECT 1 - n.distance AS score, c.chunk_id, d.source, d.uri, d.title, c.heading,
       c.text, c.start_offset, c.end_offset
FROM nearest n
JOIN ingestion.chunks c USING (chunk_id)
JOIN ingestion.documents d USING (document_id)
ORDER BY n.distance, n.chunk_id
"""
_OF_SOURCE = """
JOIN ingestion.chunks c USING (chunk_id)
JOIN ingestion.documents d USING (document_id)
WHERE d.source = %(source)s
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found.

    Attributes:
        score: cosine similarity to the question, at most 1.
        heading: the path of headings above the text.
    """

    score: float
    chunk_id: UUID
    source: str
    uri: str
    title: str
    heading: str
    text: str
    start_offset: int
    end_offset: int


def nearest(
    connection: Connection,
    generation: Generation,
    vector: NDArray[np.float32],
    *,
    k: int,
    source: str | None = None,
) -> list[Hit]:
    """The k chunks nearest to a vector, best first; exact.

    Args:
        vector: the question's vector, shape (d,), made by the generation's model.
        k: how many at most; fewer come back only where fewer exist.
        source: search this source only.
    """
    register_vector(connection)
    wire: Any = HalfVector(vector) if generation.storage == "halfvec" else Vector(vector)
    with connection.cursor(row_factory=class_row(Hit)) as cursor:
        query = sql.SQL(_SEARCH).format(
            table=generation.table, filter=sql.SQL("" if source is None else _OF_SOURCE)
        )
        return cursor.execute(query, {"vector": wire, "source": source, "k": k}).fetchall()
