"""Vectors of a partition in one generation: what is missing, what is reused, and the writing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import numpy as np
from psycopg import sql

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.chunks.chunk import embedded_text
from ingestion_assets.store import ledger
from ingestion_assets.store.connection import Connection, durable
from ingestion_assets.store.copy import copy_vectors
from ingestion_assets.store.generations import Generation, active

_FIRST = UUID(int=0)

_MISSING = """
SELECT c.chunk_id, c.content_hash, c.heading, c.text, c.tokens
FROM ingestion.chunks c
WHERE c.partition_key = %(key)s AND c.chunk_id > %(after)s AND NOT c.superseded
  AND NOT EXISTS (SELECT FROM {table} twin WHERE twin.content_hash = c.content_hash)
  AND {wanted}
ORDER BY c.chunk_id LIMIT %(limit)s
"""
_UNLESS_QUARANTINED = """NOT EXISTS (
    SELECT FROM ingestion.ledger twin
    WHERE twin.generation_id = %(generation)s AND twin.content_hash = c.content_hash
      AND twin.state = 'error' AND twin.quarantined
)"""
_IF_FAILED = """EXISTS (
    SELECT FROM ingestion.ledger l
    WHERE l.generation_id = %(generation)s AND l.chunk_id = c.chunk_id
      AND l.content_hash = c.content_hash AND l.state = 'error'
)"""
# Left alone, the planner sorts the rest of the partition for every page while it has no statistics,
# as in a first load, and starts parallel workers for every page when it has some.
_IN_ORDER = "SET LOCAL enable_sort = off; SET LOCAL max_parallel_workers_per_gather = 0"
_REUSE = """
WITH copied AS (
    INSERT INTO {table} (chunk_id, content_hash, embedding)
    SELECT c.chunk_id, c.content_hash, twin.embedding
    FROM ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
    CROSS JOIN LATERAL (
        SELECT t.embedding FROM {table} t WHERE t.content_hash = c.content_hash LIMIT 1
    ) twin
    WHERE c.partition_key = %(key)s AND NOT c.superseded
      AND e.content_hash IS DISTINCT FROM c.content_hash
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
      AND NOT EXISTS (
          SELECT FROM ingestion.ledger l
          WHERE l.generation_id = %(generation)s AND l.chunk_id = c.chunk_id
            AND l.content_hash = c.content_hash AND l.quarantined
      )
)
"""
_SWEEP_VECTORS = """
DELETE FROM {table} e USING ingestion.chunks c, ingestion.ledger l
WHERE c.partition_key = %(key)s AND e.chunk_id = c.chunk_id AND e.content_hash <> c.content_hash
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
WHERE c.partition_key = %(key)s AND NOT c.superseded
"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a partition has vectors.

    Attributes:
        chunks: chunks of the partition.
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


def missing(
    connection: Connection,
    generation: Generation,
    partition_key: str,
    *,
    prefix: str | None,
    only_failed: bool = False,
    after: UUID = _FIRST,
    limit: int = 1000,
) -> list[Text]:
    """The next page of chunks whose present text has no vector yet, ordered by id.

    A chunk whose text has a vector elsewhere in the generation is left to `reuse`, one whose text
    is quarantined in the generation is left alone.

    Args:
        prefix: the source's own instruction; it takes the place of the generation's.
        only_failed: chunks with an error in the ledger and no others, quarantined or not.
        after: the last id of the page before.
        limit: chunks in a page.
    """
    lead = generation.document_prefix if prefix is None else prefix
    wanted = sql.SQL(_IF_FAILED if only_failed else _UNLESS_QUARANTINED)
    query = sql.SQL(_MISSING).format(table=generation.table, wanted=wanted)
    page = {"after": after, "limit": limit, **_where(generation, partition_key)}
    with connection.transaction():
        connection.execute(_IN_ORDER)
        rows = connection.execute(query, page, binary=True)
    return [
        Text(chunk_id, content_hash, lead + embedded_text(heading, text), tokens)
        for chunk_id, content_hash, heading, text, tokens in rows
    ]


def pages(
    connect: Callable[[], AbstractContextManager[Connection]],
    generation: Generation,
    partition_key: str,
    prefix: str | None,
    *,
    only_failed: bool = False,
) -> Iterator[list[Text]]:
    """Pages of what is `missing`, read as they are asked for.

    No connection is held between two pages.
    """
    after = _FIRST
    while True:
        with connect() as connection:
            page = missing(
                connection,
                generation,
                partition_key,
                prefix=prefix,
                only_failed=only_failed,
                after=after,
            )
        if not page:
            return
        yield page
        after = page[-1].chunk_id


def reuse(connection: Connection, generation: Generation, partition_key: str) -> int:
    """Copy vectors of identical texts inside the database; returns how many."""
    query = sql.SQL(_REUSE).format(table=generation.table)
    row = connection.execute(query, _where(generation, partition_key)).fetchone()
    return row[0] if row else 0


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
        ledger.settle(connection, generation, current)
    return len(current.ids)


def finish(connection: Connection, generation: Generation, partition_key: str) -> Coverage:
    """Complete a partition: drop what is replaced, and make all durable.

    A superseded chunk is replaced in the generation that search reads, which need not be the one
    just written. A quarantined text, too, replaces what its chunk had before.
    """
    with durable(connection):
        ledger.sweep(connection, partition_key)
        _sweep(connection, _SWEEP_VECTORS, generation, partition_key)
        searched = active(connection)
        if searched is not None:
            _sweep(connection, _SWEEP, searched, partition_key)
    return coverage(connection, generation, partition_key)


def coverage(connection: Connection, generation: Generation, partition_key: str) -> Coverage:
    """Count a partition's chunks, and what became of them."""
    query = sql.SQL(_COUNT).format(table=generation.table)
    row = connection.execute(query, _where(generation, partition_key)).fetchone()
    return Coverage(*row) if row else Coverage(0, 0)


def _sweep(
    connection: Connection, statement: LiteralString, generation: Generation, partition_key: str
) -> None:
    query = sql.SQL(statement).format(table=generation.table)
    connection.execute(query, _where(generation, partition_key))


def _where(generation: Generation, partition_key: str) -> dict[str, Any]:
    return {"generation": generation.generation_id, "key": partition_key}


def _take(vectors: Vectors, positions: Sequence[int]) -> Vectors:
    if len(positions) == len(vectors.ids):
        return vectors
    return Vectors(
        [vectors.ids[i] for i in positions],
        [vectors.hashes[i] for i in positions],
        vectors.matrix[np.array(positions, dtype=np.intp)],
    )
