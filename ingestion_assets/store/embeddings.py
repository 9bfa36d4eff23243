"""Vectors of some chunks in one generation: what is reused, the writing, and what is replaced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import numpy as np
from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from ingestion_assets.changes import Vectors
from ingestion_assets.store import ledger
from ingestion_assets.store.connection import Connection, durable
from ingestion_assets.store.copy import copy_vectors
from ingestion_assets.store.generations import Generation, active
from ingestion_assets.store.scope import Chunks, among, lock

_REUSE = """
WITH wanting AS (
    SELECT c.chunk_id, c.content_hash
    FROM ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
    WHERE {among} AND NOT c.superseded AND e.content_hash IS DISTINCT FROM c.content_hash
      AND EXISTS (SELECT FROM {table} twin WHERE twin.content_hash = c.content_hash)
    ORDER BY c.chunk_id FOR NO KEY UPDATE OF c
), copied AS (
    INSERT INTO {table} (chunk_id, content_hash, embedding)
    SELECT w.chunk_id, w.content_hash, twin.embedding
    FROM wanting w CROSS JOIN LATERAL (
        SELECT t.embedding FROM {table} t WHERE t.content_hash = w.content_hash LIMIT 1
    ) twin
    ON CONFLICT (chunk_id) DO UPDATE SET
        content_hash = EXCLUDED.content_hash, embedding = EXCLUDED.embedding, embedded_at = now()
    RETURNING chunk_id, content_hash
), settled AS (
    DELETE FROM ingestion.ledger l USING copied
    WHERE l.generation_id = %(generation)s AND l.chunk_id = copied.chunk_id
      AND l.content_hash = copied.content_hash
)
SELECT count(*) FROM copied
"""
_MAKE_ROOM = """
WITH current AS (
    SELECT u.position, c.chunk_id
    FROM unnest(%b::uuid[], %b::bytea[]) WITH ORDINALITY AS u (chunk_id, content_hash, position)
    JOIN ingestion.chunks c USING (chunk_id, content_hash)
), replaced AS (
    DELETE FROM {table} e USING current WHERE e.chunk_id = current.chunk_id
)
SELECT position FROM current
"""
# A document's superseded chunks go when none of those in their place still waits for its vector.
_SWEEP = """
WITH touched AS (
    SELECT DISTINCT old.document_id FROM ingestion.chunks old
    WHERE old.superseded
      AND old.document_id IN (SELECT c.document_id FROM ingestion.chunks c WHERE {among})
), waiting AS (
    SELECT DISTINCT c.document_id
    FROM touched JOIN ingestion.chunks c USING (document_id) LEFT JOIN {table} e USING (chunk_id)
    WHERE NOT c.superseded AND e.content_hash IS DISTINCT FROM c.content_hash
      AND NOT EXISTS (
          SELECT FROM ingestion.ledger l
          WHERE l.generation_id = %(generation)s AND l.chunk_id = c.chunk_id
            AND l.content_hash = c.content_hash AND l.quarantined
      )
), replaced AS (
    SELECT old.chunk_id FROM ingestion.chunks old
    WHERE old.superseded AND old.document_id IN (SELECT document_id FROM touched)
      AND old.document_id NOT IN (SELECT document_id FROM waiting)
    ORDER BY old.chunk_id FOR UPDATE
)
DELETE FROM ingestion.chunks c USING replaced WHERE c.chunk_id = replaced.chunk_id
"""
_SWEEP_VECTORS = """
DELETE FROM {table} e USING ingestion.chunks c, ingestion.ledger l
WHERE {among} AND e.chunk_id = c.chunk_id AND e.content_hash <> c.content_hash
  AND l.generation_id = %(generation)s AND l.chunk_id = c.chunk_id
  AND l.content_hash = c.content_hash AND l.quarantined
"""
_COUNT = """
SELECT count(*), count(*) FILTER (WHERE e.content_hash = c.content_hash),
       count(*) FILTER (WHERE e.content_hash IS DISTINCT FROM c.content_hash AND l.quarantined)
FROM ingestion.chunks c
LEFT JOIN {table} e USING (chunk_id)
LEFT JOIN ingestion.ledger l ON l.generation_id = %(generation)s AND l.chunk_id = c.chunk_id
                            AND l.content_hash = c.content_hash
WHERE {among} AND NOT c.superseded
"""


_OUTDATE = """
WITH forgiven AS (
    DELETE FROM ingestion.ledger l USING ingestion.chunks c
    WHERE {among} AND l.chunk_id = c.chunk_id AND l.generation_id = %(generation)s
      AND l.state = 'error'
)
UPDATE {table} e SET content_hash = ''::bytea FROM ingestion.chunks c
WHERE {among} AND e.chunk_id = c.chunk_id
"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a partition, or of all, has vectors.

    Attributes:
        chunks: the chunks there are.
        embedded: those whose vector is stored and belongs to their present text.
        quarantined: those that have none because their text is at fault.
    """

    chunks: int
    embedded: int
    quarantined: int = 0

    @property
    def missing(self) -> int:
        """Chunks with neither a vector nor a text that is at fault."""
        return self.chunks - self.embedded - self.quarantined


def reuse(connection: Connection, generation: Generation, chunks: Chunks) -> int:
    """Copy vectors of identical texts inside the database to some chunks; returns how many."""
    row = _run(connection, _REUSE, generation, chunks).fetchone()
    return row[0] if row else 0


def outdate(connection: Connection, generation: Generation, chunks: Chunks) -> None:
    """Have some chunks embedded again: their vectors are of no present text from now on.

    They are found until they are replaced, as those of texts that were edited are. What failed,
    or was quarantined, is forgotten.
    """
    _run(connection, _OUTDATE, generation, chunks)


def write(connection: Connection, generation: Generation, vectors: Vectors) -> int:
    """Store vectors in one transaction, in the place of what their chunks had before.

    A vector whose chunk is gone, or has another text by now, is left out: the chunk is still
    missing and its present text will be embedded.

    Returns:
        How many were stored.

    Raises:
        DimensionError: the vectors have another length than the generation's.
    """
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        lock(connection, vectors.ids)
        rows = connection.execute(
            sql.SQL(_MAKE_ROOM).format(table=generation.table),
            (list(vectors.ids), list(vectors.hashes)),
            binary=True,
        ).fetchall()
        current = _take(vectors, [position - 1 for (position,) in rows])
        copy_vectors(connection, generation, current)
        ledger.settle(connection, generation, current)
    return len(current.ids)


def finish(connection: Connection, generation: Generation, partition_key: str) -> Coverage:
    """Complete a partition: drop what is replaced, and make all durable."""
    with durable(connection):
        ledger.sweep(connection, generation, partition_key)
        replace(connection, generation, partition_key)
    return coverage(connection, generation, partition_key)


def replace(connection: Connection, generation: Generation, chunks: Chunks) -> None:
    """Drop what is replaced by what became of some chunks.

    A superseded chunk is replaced in the generation that search reads, which need not be the one
    just written. A quarantined text, too, replaces what its chunk had before.
    """
    _run(connection, _SWEEP_VECTORS, generation, chunks)
    searched = active(connection)
    if searched is not None:
        _run(connection, _SWEEP, searched, chunks)


def coverage(connection: Connection, generation: Generation, partition_key: str | None) -> Coverage:
    """Count a partition's chunks, or all there are, and what became of them."""
    row = _run(connection, _COUNT, generation, partition_key).fetchone()
    return Coverage(*row) if row else Coverage(0, 0)


def _run(
    connection: Connection, statement: LiteralString, generation: Generation, chunks: Chunks | None
) -> Cursor[TupleRow]:
    query = sql.SQL(statement).format(table=generation.table, among=among(chunks))
    return connection.execute(query, {"generation": generation.generation_id, "chunks": chunks})


def _take(vectors: Vectors, positions: Sequence[int]) -> Vectors:
    if len(positions) == len(vectors.ids):
        return vectors
    return Vectors(
        [vectors.ids[i] for i in positions],
        [vectors.hashes[i] for i in positions],
        vectors.matrix[np.array(positions, dtype=np.intp)],
    )
