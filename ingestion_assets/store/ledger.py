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

# Locked as `embeddings.write` locks them, only more strongly: of a failure and a vector that are
# written at once, the vector stays.
_LOCK = """
SELECT FROM ingestion.chunks WHERE chunk_id = ANY(%b::uuid[]) ORDER BY chunk_id FOR UPDATE
"""
_RECORD = """
INSERT INTO ingestion.ledger AS l (generation_id, chunk_id, content_hash, state, attempts,
    error_class, error, quarantined, failed_at)
SELECT %s, c.chunk_id, c.content_hash, 'error', 1,
       f.error_class, f.error, f.quarantined, clock_timestamp()
FROM unnest(%b::uuid[], %b::bytea[], %b::text[], %b::text[], %b::boolean[])
     AS f (chunk_id, content_hash, error_class, error, quarantined)
JOIN ingestion.chunks c USING (chunk_id, content_hash)
LEFT JOIN {table} e USING (chunk_id)
WHERE e.content_hash IS DISTINCT FROM c.content_hash
ON CONFLICT (generation_id, chunk_id) DO UPDATE SET
    attempts = CASE WHEN l.content_hash = EXCLUDED.content_hash THEN l.attempts ELSE 0 END + 1,
    content_hash = EXCLUDED.content_hash, state = 'error', quarantined = EXCLUDED.quarantined,
    error_class = EXCLUDED.error_class, error = EXCLUDED.error, failed_at = EXCLUDED.failed_at,
    owner = NULL, lease_until = NULL
"""
_TWINS = """
INSERT INTO ingestion.ledger AS l (generation_id, chunk_id, content_hash, state, attempts,
    error_class, error, quarantined, failed_at)
SELECT %(generation)s, c.chunk_id, c.content_hash, 'error', twin.attempts,
       twin.error_class, twin.error, true, twin.failed_at
FROM (
    SELECT DISTINCT ON (content_hash) content_hash, attempts, error_class, error, failed_at
    FROM ingestion.ledger
    WHERE generation_id = %(generation)s AND state = 'error' AND quarantined
    ORDER BY content_hash, failed_at DESC
) twin
JOIN ingestion.chunks c USING (content_hash)
LEFT JOIN {table} e USING (chunk_id)
WHERE c.partition_key = %(key)s AND NOT c.superseded
  AND e.content_hash IS DISTINCT FROM c.content_hash
ON CONFLICT (generation_id, chunk_id) DO UPDATE SET
    attempts = EXCLUDED.attempts,
    content_hash = EXCLUDED.content_hash, state = 'error', quarantined = true,
    error_class = EXCLUDED.error_class, error = EXCLUDED.error, failed_at = EXCLUDED.failed_at,
    owner = NULL, lease_until = NULL
WHERE NOT l.quarantined OR l.content_hash <> EXCLUDED.content_hash
"""
_GIVE_UP = """
INSERT INTO ingestion.ledger AS l (generation_id, chunk_id, content_hash, state, attempts,
    error_class, error, quarantined, failed_at)
SELECT %(generation)s, c.chunk_id, c.content_hash, 'error', 1,
       %(error_class)s, %(error)s, false, clock_timestamp()
FROM ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
WHERE c.partition_key = %(key)s AND NOT c.superseded
  AND e.content_hash IS DISTINCT FROM c.content_hash
ON CONFLICT (generation_id, chunk_id) DO UPDATE SET
    attempts = CASE WHEN l.content_hash = EXCLUDED.content_hash THEN l.attempts ELSE 0 END + 1,
    content_hash = EXCLUDED.content_hash, state = 'error', quarantined = false,
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
DELETE FROM ingestion.ledger l USING ingestion.chunks c
WHERE c.chunk_id = l.chunk_id AND c.partition_key = %s AND l.content_hash <> c.content_hash
"""
_PARTITIONS = """
SELECT DISTINCT d.source, c.partition_key
FROM ingestion.ledger l
JOIN ingestion.generations g USING (generation_id)
JOIN ingestion.chunks c USING (chunk_id, content_hash)
JOIN ingestion.documents d USING (document_id)
WHERE l.state = 'error' AND g.status <> 'retired' AND NOT c.superseded AND d.source = ANY(%s)
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
        connection.execute(_LOCK, (ids,))
        return connection.execute(
            sql.SQL(_RECORD).format(table=generation.table),
            (
                generation.generation_id,
                ids,
                [failure.content_hash for failure in failures],
                [failure.error_class for failure in failures],
                [failure.message for failure in failures],
                [failure.quarantined for failure in failures],
            ),
        ).rowcount


def quarantine_twins(connection: Connection, generation: Generation, partition_key: str) -> int:
    """Quarantine a partition's chunks whose text is quarantined elsewhere; returns how many."""
    return connection.execute(
        sql.SQL(_TWINS).format(table=generation.table),
        {"generation": generation.generation_id, "key": partition_key},
    ).rowcount


def give_up(
    connection: Connection, generation: Generation, partition_key: str, error: IngestionError
) -> int:
    """Write down why all that is missing of a partition is missing; returns how many chunks.

    Nothing is quarantined by it: the next run takes them up again.
    """
    return connection.execute(
        sql.SQL(_GIVE_UP).format(table=generation.table),
        {
            "generation": generation.generation_id,
            "key": partition_key,
            "error_class": type(error).__name__,
            "error": str(error),
        },
    ).rowcount


def settle(connection: Connection, generation: Generation, vectors: Vectors) -> None:
    """Forget what the ledger says of texts whose vectors are stored in this transaction."""
    connection.execute(_SETTLE, (list(vectors.ids), list(vectors.hashes), generation.generation_id))


def sweep(connection: Connection, partition_key: str) -> int:
    """Delete a partition's rows about texts that their chunks no longer have; returns how many."""
    return connection.execute(_SWEEP, (partition_key,)).rowcount


def partitions_with_failures(connection: Connection, sources: Sequence[str]) -> list[str]:
    """Partitions of some sources with a chunk that failed, in a generation that is in use."""
    rows = connection.execute(_PARTITIONS, (list(sources),))
    return [key for _, key in rows]
