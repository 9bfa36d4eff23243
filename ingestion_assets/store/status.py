"""What the store holds: how much is embedded, and what failed and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import active

_CHUNKS = """
SELECT count(*) FROM ingestion.chunks WHERE partition_key = ANY(%s) AND NOT superseded
"""
_EMBEDDED = """
SELECT count(*) FROM ingestion.chunks c JOIN {} e USING (chunk_id, content_hash)
WHERE c.partition_key = ANY(%s) AND NOT c.superseded
"""
# One pass over each table, whatever the number of partitions; no text or vector is unpacked.
_PARTITIONS = """
WITH stored AS (
    SELECT d.source, c.partition_key, d.ingested_at, e.content_hash = c.content_hash AS embedded,
           coalesce(l.state, 'pending') AS state
    FROM ingestion.chunks c
    JOIN ingestion.documents d USING (document_id)
    LEFT JOIN {embeddings} e USING (chunk_id)
    LEFT JOIN ingestion.ledger l
           ON l.generation_id = %(generation)s
          AND (l.chunk_id, l.content_hash) = (c.chunk_id, c.content_hash)
    WHERE NOT c.superseded AND (%(source)s::text IS NULL OR d.source = %(source)s)
), chunks AS (
    SELECT partition_key, count(*) AS chunks, count(*) FILTER (WHERE embedded) AS embedded,
           count(*) FILTER (WHERE embedded IS NOT TRUE AND state = 'pending') AS pending,
           count(*) FILTER (WHERE embedded IS NOT TRUE AND state = 'processing') AS processing,
           count(*) FILTER (WHERE embedded IS NOT TRUE AND state = 'error') AS failed,
           min(ingested_at) FILTER (WHERE embedded IS NOT TRUE AND state <> 'error')
               AS oldest_pending
    FROM stored GROUP BY partition_key
), documents AS (
    SELECT source, partition_key, count(*) AS documents
    FROM ingestion.documents
    WHERE %(source)s::text IS NULL OR source = %(source)s
    GROUP BY source, partition_key
)
SELECT source, partition_key, documents, coalesce(chunks, 0) AS chunks,
       coalesce(embedded, 0) AS embedded, coalesce(pending, 0) AS pending,
       coalesce(processing, 0) AS processing, coalesce(failed, 0) AS failed, oldest_pending,
       looked_at AS last_run
FROM documents LEFT JOIN chunks USING (partition_key)
LEFT JOIN ingestion.looks USING (source, partition_key)
ORDER BY source, partition_key
"""
_NO_EMBEDDINGS = "(SELECT NULL::uuid AS chunk_id, NULL::bytea AS content_hash WHERE false)"
_FAILURES = """
SELECT d.source, d.uri, c.heading, chunk_id, l.generation_id, l.error_class, l.error, l.attempts,
       l.failed_at, l.quarantined
FROM ingestion.ledger l
JOIN ingestion.generations g USING (generation_id)
JOIN ingestion.chunks c USING (chunk_id, content_hash)
JOIN ingestion.documents d USING (document_id)
WHERE l.state = 'error' AND l.error_class IS NOT NULL AND g.status <> 'retired'
  AND NOT c.superseded
  AND (%(source)s::text IS NULL OR d.source = %(source)s)
ORDER BY d.source, d.uri, c.ordinal, l.generation_id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Chunks, and those of them that have their vector in the active generation."""

    chunks: int
    embedded: int


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition in the active generation; the last four counts make up its chunks.

    Attributes:
        processing: a run or a worker has them in hand.
        failed: chunks with an error and no vector, quarantined or not.
        oldest_pending: when the document was read that has waited longest for a vector.
        last_run: when it was last compared with its documents; none if that was never noted.
    """

    source: str
    partition_key: str
    documents: int
    chunks: int
    embedded: int
    pending: int
    processing: int
    failed: int
    oldest_pending: datetime | None
    last_run: datetime | None


@dataclass(frozen=True, slots=True)
class FailedChunk:
    """A chunk that got no vector, and why.

    Attributes:
        generation_id: the generation it has none in.
        attempts: how often its present text was tried.
        quarantined: left alone until its text, the generation or the operator changes that.
    """

    source: str
    uri: str
    heading: str
    chunk_id: UUID
    generation_id: int
    error_class: str
    error: str
    attempts: int
    failed_at: datetime
    quarantined: bool


def counts(connection: Connection, partition_keys: Sequence[str]) -> Counts:
    """Count the chunks and vectors of some partitions."""
    keys = (list(partition_keys),)
    chunks = connection.execute(_CHUNKS, keys).fetchone()
    generation = active(connection)
    if generation is None:
        return Counts(chunks[0] if chunks else 0, 0)
    embedded = connection.execute(sql.SQL(_EMBEDDED).format(generation.table), keys).fetchone()
    return Counts(chunks[0] if chunks else 0, embedded[0] if embedded else 0)


def sources(connection: Connection) -> list[str]:
    """Names of the sources that were ever ingested."""
    rows = connection.execute("SELECT name FROM ingestion.sources ORDER BY name")
    return [name for (name,) in rows]


def partitions(connection: Connection, source: str | None = None) -> list[PartitionStatus]:
    """Every partition that has documents, of one source or of all, in order.

    Args:
        source: its name; none means all sources.
    """
    generation = active(connection)
    query = sql.SQL(_PARTITIONS).format(
        embeddings=generation.table if generation else sql.SQL(_NO_EMBEDDINGS)
    )
    of = {"source": source, "generation": generation.generation_id if generation else 0}
    with connection.cursor(row_factory=class_row(PartitionStatus)) as cursor:
        return cursor.execute(query, of).fetchall()


def failures(
    connection: Connection, source: str | None = None, limit: int | None = None
) -> list[FailedChunk]:
    """Chunks that failed in a generation that is in use, in the order of their documents.

    Args:
        source: its name; none means all sources.
        limit: how many at most; none means all.
    """
    with connection.cursor(row_factory=class_row(FailedChunk)) as cursor:
        return cursor.execute(_FAILURES, {"source": source, "limit": limit}).fetchall()
