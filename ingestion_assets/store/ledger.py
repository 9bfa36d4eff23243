"""Why a chunk has no vector: failures are recorded, shared by equal texts, and settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from psycopg import sql

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.errors import ContentError, IngestionError
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.scope import Chunks, among, lock

_RECORD = """
INSERT INTO ingestion.ledger AS l (generation_id, chunk_id, content_hash, state, attempts,
    error_class, error, quarantined, failed_at, not_before)
SELECT %s, c.chunk_id, c.content_hash, 'error', 1, f.error_class, f.error, f.quarantined,
       clock_timestamp(), ingestion.retry_at(1)
FROM unnest(%b::uuid[], %b::bytea[], %b::text[], %b::text[], %b::boolean[])
     AS f (chunk_id, content_hash, error_class, error, quarantined)
JOIN ingestion.chunks c USING (chunk_id, content_hash)
LEFT JOIN {table} e USING (chunk_id)
WHERE e.content_hash IS DISTINCT FROM c.content_hash
"""
_GIVE_UP = """
INSERT INTO ingestion.ledger AS l (generation_id, chunk_id, content_hash, state, attempts,
    error_class, error, quarantined, failed_at, not_before)
SELECT %(generation)s, c.chunk_id, c.content_hash, 'error', 1, %(error_class)s, %(error)s, false,
       clock_timestamp(), ingestion.retry_at(1)
FROM ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
WHERE c.partition_key = %(key)s AND NOT c.superseded
  AND e.content_hash IS DISTINCT FROM c.content_hash
"""
# An attempt was counted when the text was claimed.
_ON_CONFLICT = """
ON CONFLICT (chunk_id, generation_id) DO UPDATE SET
    attempts = CASE WHEN l.content_hash <> EXCLUDED.content_hash THEN 1
                    WHEN l.state = 'processing' THEN l.attempts ELSE l.attempts + 1 END,
    content_hash = EXCLUDED.content_hash, state = 'error', quarantined = EXCLUDED.quarantined,
    error_class = EXCLUDED.error_class, error = EXCLUDED.error, failed_at = EXCLUDED.failed_at,
    not_before = ingestion.retry_at(l.attempts), owner = NULL, lease_until = NULL
"""
_UNLESS_OTHERS_KNOW = """
WHERE l.content_hash <> EXCLUDED.content_hash
   OR NOT l.quarantined AND (l.state <> 'processing' OR l.owner = %(owner)s)
"""
_TWINS = """
INSERT INTO ingestion.ledger AS l (generation_id, chunk_id, content_hash, state, attempts,
    error_class, error, quarantined, failed_at)
SELECT %(generation)s, c.chunk_id, c.content_hash, 'error', twin.attempts,
       twin.error_class, twin.error, true, twin.failed_at
FROM (
    SELECT DISTINCT ON (content_hash) content_hash, attempts, error_class, error, failed_at
    FROM ingestion.ledger
    WHERE generation_id = %(generation)s AND error_class IS NOT NULL AND quarantined
    ORDER BY content_hash, failed_at DESC
) twin
JOIN ingestion.chunks c USING (content_hash)
LEFT JOIN {table} e USING (chunk_id)
WHERE {among} AND NOT c.superseded AND e.content_hash IS DISTINCT FROM c.content_hash
ON CONFLICT (chunk_id, generation_id) DO UPDATE SET
    attempts = EXCLUDED.attempts,
    content_hash = EXCLUDED.content_hash, state = 'error', quarantined = true,
    error_class = EXCLUDED.error_class, error = EXCLUDED.error, failed_at = EXCLUDED.failed_at,
    owner = NULL, lease_until = NULL
WHERE NOT l.quarantined OR l.content_hash <> EXCLUDED.content_hash
"""
_SETTLE = """
DELETE FROM ingestion.ledger l
USING unnest(%b::uuid[], %b::bytea[]) AS stored (chunk_id, content_hash)
WHERE l.generation_id = %s AND l.chunk_id = stored.chunk_id
  AND l.content_hash = stored.content_hash
"""
_SWEEP = """
DELETE FROM ingestion.ledger l
USING ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
WHERE {among} AND l.generation_id = %(generation)s AND l.chunk_id = c.chunk_id
  AND (c.superseded OR l.content_hash <> c.content_hash OR e.content_hash = c.content_hash)
"""
_PARTITIONS = """
SELECT DISTINCT d.source, c.partition_key
FROM ingestion.ledger l
JOIN ingestion.generations g USING (generation_id)
JOIN ingestion.chunks c USING (chunk_id, content_hash)
JOIN ingestion.documents d USING (document_id)
WHERE l.state = 'error' AND l.error_class IS NOT NULL AND g.status <> 'retired'
  AND NOT c.superseded AND d.source = ANY(%s)
ORDER BY d.source, c.partition_key
"""


@dataclass(frozen=True, slots=True)
class Failed:
    """A text that got no vector.

    Attributes:
        content_hash: of the text that failed, which need not be its chunk's by now.
        error_class: name of the error's type.
        quarantined: the text itself is at fault, so it is not tried again unasked.
    """

    chunk_id: UUID
    content_hash: bytes
    error_class: str
    message: str
    quarantined: bool

    @classmethod
    def of(cls, text: Text, error: IngestionError) -> Self:
        """The failure of a text; an error of its content quarantines it."""
        return cls(
            text.chunk_id,
            text.content_hash,
            type(error).__name__,
            str(error),
            isinstance(error, ContentError),
        )


def record(connection: Connection, generation: Generation, failures: Sequence[Failed]) -> int:
    """Write down failures, each chunk at most once, in one transaction.

    Left out are chunks that are gone, have another text by now, or have its vector already.

    Returns:
        How many were recorded.
    """
    ids = [failure.chunk_id for failure in failures]
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        lock(connection, ids)
        return connection.execute(
            sql.SQL(_RECORD + _ON_CONFLICT).format(table=generation.table),
            (
                generation.generation_id,
                ids,
                [failure.content_hash for failure in failures],
                [failure.error_class for failure in failures],
                [failure.message for failure in failures],
                [failure.quarantined for failure in failures],
            ),
        ).rowcount


def quarantine_twins(connection: Connection, generation: Generation, chunks: Chunks) -> int:
    """Quarantine those of some chunks whose text is quarantined elsewhere; returns how many."""
    return connection.execute(
        sql.SQL(_TWINS).format(table=generation.table, among=among(chunks)),
        {"generation": generation.generation_id, "chunks": chunks},
    ).rowcount


def give_up(
    connection: Connection,
    generation: Generation,
    partition_key: str,
    owner: str,
    error: IngestionError,
) -> int:
    """Write down why all that is missing of a partition is missing; returns how many chunks.

    Nothing is quarantined by it: the next run takes them up again. What another owner has in hand
    is left to it.
    """
    return connection.execute(
        sql.SQL(_GIVE_UP + _ON_CONFLICT + _UNLESS_OTHERS_KNOW).format(table=generation.table),
        {
            "generation": generation.generation_id,
            "key": partition_key,
            "owner": owner,
            "error_class": type(error).__name__,
            "error": str(error),
        },
    ).rowcount


def enqueue_missing(connection: Connection, generation: Generation, partition_key: str) -> int:
    """Enqueue a partition's chunks that wait for a vector unknown to the ledger; returns how many.

    The triggers enqueue what comes; this repairs what they could not know.
    """
    row = connection.execute(
        "SELECT ingestion.enqueue_missing(%s, %s)", (generation.generation_id, partition_key)
    ).fetchone()
    return row[0] if row else 0


def settle(connection: Connection, generation: Generation, vectors: Vectors) -> None:
    """Forget what the ledger says of texts whose vectors are stored in this transaction."""
    connection.execute(_SETTLE, (list(vectors.ids), list(vectors.hashes), generation.generation_id))


def sweep(connection: Connection, generation: Generation, chunks: Chunks) -> int:
    """Delete rows of some chunks that wait for nothing; returns how many.

    Their chunks have a vector, another text, or no place in their document by now.
    """
    return connection.execute(
        sql.SQL(_SWEEP).format(table=generation.table, among=among(chunks)),
        {"generation": generation.generation_id, "chunks": chunks},
    ).rowcount


def partitions_with_failures(connection: Connection, sources: Sequence[str]) -> list[str]:
    """Partitions of some sources with a chunk that failed, in a generation that is in use."""
    rows = connection.execute(_PARTITIONS, (list(sources),))
    return [key for _, key in rows]
