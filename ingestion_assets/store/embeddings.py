"""Vectors of a partition in one generation: what is missing, what is reused, and the writing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from psycopg import sql

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.chunks.chunk import embedded_text
from ingestion_assets.store.connection import Connection, durable
from ingestion_assets.store.copy import copy_vectors
from ingestion_assets.store.generations import Generation, active

_FIRST = UUID(int=0)

_MISSING = """
SELECT c.chunk_id, c.content_hash, c.heading, c.text, c.tokens
FROM ingestion.chunks c
WHERE c.partition_key = %s AND c.chunk_id > %s AND NOT c.superseded
  AND NOT EXISTS (SELECT FROM {table} twin WHERE twin.content_hash = c.content_hash)
ORDER BY c.chunk_id LIMIT %s
"""
_REUSE = """
INSERT INTO {table} (chunk_id, content_hash, embedding)
SELECT c.chunk_id, c.content_hash, twin.embedding
FROM ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
CROSS JOIN LATERAL (
    SELECT t.embedding FROM {table} t WHERE t.content_hash = c.content_hash LIMIT 1
) twin
WHERE c.partition_key = %s AND NOT c.superseded
  AND e.content_hash IS DISTINCT FROM c.content_hash
ON CONFLICT (chunk_id) DO UPDATE SET
    content_hash = EXCLUDED.content_hash, embedding = EXCLUDED.embedding, embedded_at = now()
"""
_MAKE_ROOM = """
WITH current AS (
    SELECT u.position, c.chunk_id
    FROM unnest(%b::uuid[], %b::bytea[]) WITH ORDINALITY AS u (chunk_id, content_hash, position)
    JOIN ingestion.chunks c USING (chunk_id, content_hash)
    FOR KEY SHARE OF c
), replaced AS (
    DELETE FROM {table} e USING current WHERE e.chunk_id = current.chunk_id
)
SELECT position FROM current
"""
_SWEEP = """
DELETE FROM ingestion.chunks old
WHERE old.partition_key = %(key)s AND old.superseded AND old.document_id NOT IN (
    SELECT DISTINCT c.document_id
    FROM ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
    WHERE c.partition_key = %(key)s AND NOT c.superseded
      AND e.content_hash IS DISTINCT FROM c.content_hash
)
"""
_COUNT = """
SELECT count(*), count(e.chunk_id) FILTER (WHERE e.content_hash = c.content_hash)
FROM ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
WHERE c.partition_key = %s AND NOT c.superseded
"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a partition has vectors.

    Attributes:
        chunks: chunks of the partition.
        embedded: those whose vector is stored and belongs to their present text.
    """

    chunks: int
    embedded: int


def missing(
    connection: Connection,
    generation: Generation,
    partition_key: str,
    *,
    prefix: str | None,
    after: UUID = _FIRST,
    limit: int = 1000,
) -> list[Text]:
    """The next page of chunks whose present text has no vector yet, ordered by id.

    A chunk whose text has a vector elsewhere in the generation is left to `reuse`.

    Args:
        prefix: the source's own instruction; it takes the place of the generation's.
        after: the last id of the page before.
        limit: chunks in a page.
    """
    lead = generation.document_prefix if prefix is None else prefix
    query = sql.SQL(_MISSING).format(table=generation.table)
    with connection.transaction():
        # Without statistics, as in a first load, the planner would sort the rest for every page.
        connection.execute("SET LOCAL enable_sort = off")
        rows = connection.execute(query, (partition_key, after, limit), binary=True)
    return [
        Text(chunk_id, content_hash, lead + embedded_text(heading, text), tokens)
        for chunk_id, content_hash, heading, text, tokens in rows
    ]


def pages(
    connect: Callable[[], AbstractContextManager[Connection]],
    generation: Generation,
    partition_key: str,
    prefix: str | None,
) -> Iterator[list[Text]]:
    """Pages of chunks whose present text has no vector yet, read as they are asked for.

    No connection is held between two pages.
    """
    after = _FIRST
    while True:
        with connect() as connection:
            page = missing(connection, generation, partition_key, prefix=prefix, after=after)
        if not page:
            return
        yield page
        after = page[-1].chunk_id


def reuse(connection: Connection, generation: Generation, partition_key: str) -> int:
    """Copy vectors of identical texts inside the database; returns how many."""
    query = sql.SQL(_REUSE).format(table=generation.table)
    return connection.execute(query, (partition_key,)).rowcount


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
        rows = connection.execute(
            sql.SQL(_MAKE_ROOM).format(table=generation.table),
            (list(vectors.ids), list(vectors.hashes)),
            binary=True,
        ).fetchall()
        current = _take(vectors, [position - 1 for (position,) in rows])
        copy_vectors(connection, generation, current)
    return len(current.ids)


def finish(connection: Connection, generation: Generation, partition_key: str) -> Coverage:
    """Complete a partition: drop superseded chunks that are replaced, and make all durable.

    Replaced means: in the generation that search reads, which need not be the one just written.
    """
    with durable(connection):
        searched = active(connection)
        if searched is not None:
            connection.execute(sql.SQL(_SWEEP).format(table=searched.table), {"key": partition_key})
    return coverage(connection, generation, partition_key)


def coverage(connection: Connection, generation: Generation, partition_key: str) -> Coverage:
    """Count a partition's chunks and those of them that are embedded."""
    query = sql.SQL(_COUNT).format(table=generation.table)
    row = connection.execute(query, (partition_key,)).fetchone()
    return Coverage(*row) if row else Coverage(0, 0)


def _take(vectors: Vectors, positions: Sequence[int]) -> Vectors:
    if len(positions) == len(vectors.ids):
        return vectors
    return Vectors(
        [vectors.ids[i] for i in positions],
        [vectors.hashes[i] for i in positions],
        vectors.matrix[np.array(positions, dtype=np.intp)],
    )
