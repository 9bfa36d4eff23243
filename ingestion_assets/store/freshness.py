"""How long it takes until a change is found by search; computed from what is stored anyway."""

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import active

MOST = 2_000  # documents of a source, the latest, so that a million of them cost no more

# What was read before the generation was opened is its backlog, and says nothing of freshness.
_LATENCIES = """
WITH latest AS (
    SELECT s.name AS source, d.*
    FROM ingestion.sources s CROSS JOIN LATERAL (
        SELECT document_id, modified_at, ingested_at FROM ingestion.documents
        WHERE source = s.name AND ingested_at > now() - interval '7 days'
          AND ingested_at >= %(opened)s
        ORDER BY ingested_at DESC LIMIT %(most)s
    ) d
    WHERE %(source)s::text IS NULL OR s.name = %(source)s
), found AS (
    SELECT source, modified_at, ingested_at, max(e.embedded_at) AS at
    FROM latest JOIN ingestion.chunks c USING (document_id)
    LEFT JOIN {embeddings} e USING (chunk_id, content_hash)
    WHERE NOT c.superseded
    GROUP BY source, document_id, modified_at, ingested_at
    HAVING bool_and(e.embedded_at IS NOT NULL) AND max(e.embedded_at) >= ingested_at
), measured AS (
    SELECT source, at, extract(epoch FROM at - ingested_at)::float8 AS seen,
           CASE WHEN modified_at >= %(opened)s
                THEN extract(epoch FROM at - modified_at)::float8 END AS changed
    FROM found
)
SELECT source, span AS window, count(*) AS documents,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY seen) AS seen_p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY seen) AS seen_p95,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY changed) AS changed_p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY changed) AS changed_p95
FROM measured JOIN (VALUES ('24h', interval '24 hours'), ('7d', interval '7 days')) w (span, long)
     ON at > now() - long
GROUP BY source, span, long ORDER BY source, long
"""
_WAITING = """
SELECT split_part(c.partition_key, '/', 1) AS source,
       count(*) FILTER (WHERE l.state = 'pending') AS pending,
       count(*) FILTER (WHERE l.state = 'processing') AS processing,
       count(*) FILTER (WHERE l.state = 'error' AND NOT l.quarantined) AS failed,
       count(*) FILTER (WHERE l.quarantined) AS quarantined,
       coalesce(extract(epoch FROM now() - min(l.enqueued_at) FILTER (WHERE l.state <> 'error')),
                0)::float8 AS oldest_seconds
FROM ingestion.ledger l JOIN ingestion.chunks c USING (chunk_id, content_hash)
WHERE l.generation_id = %s AND NOT c.superseded
GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How long the documents of a source took that became searchable of late.

    Attributes:
        window: `24h` or `7d`, up to now.
        documents: how many were measured.
        seen_p50: median seconds from the reading of a document to the vector of its last chunk.
        seen_p95: what 95 of 100 do not exceed.
        changed_p50: the same from the change at the source, by the time that it gives; none where
            all changes are older than the generation.
        changed_p95: likewise.
    """

    source: str
    window: str
    documents: int
    seen_p50: float
    seen_p95: float
    changed_p50: float | None
    changed_p95: float | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Chunks of a source that have no vector, by state.

    Attributes:
        oldest_seconds: since the longest waiting of them was enqueued; failed ones left out.
    """

    source: str
    pending: int
    processing: int
    failed: int
    quarantined: int
    oldest_seconds: float


def latencies(connection: Connection, source: str | None = None) -> list[Freshness]:
    """How fresh the active generation was of late, by source and window; none measured, no row.

    Of each source the latest documents are measured. One counts when all its chunks have their
    vectors, and one of these was made after it was read.

    Args:
        source: its name; none means all sources.
    """
    generation = active(connection)
    if generation is None:
        return []
    opened = connection.execute(
        "SELECT created_at FROM ingestion.generations WHERE generation_id = %s",
        (generation.generation_id,),
    ).fetchone()
    query = sql.SQL(_LATENCIES).format(embeddings=generation.table)
    of = {"source": source, "opened": opened and opened[0], "most": MOST}
    with connection.cursor(row_factory=class_row(Freshness)) as cursor:
        return cursor.execute(query, of).fetchall()


def waiting(connection: Connection) -> list[Waiting]:
    """What waits for a vector in the active generation, by source; none waiting, no row."""
    generation = active(connection)
    if generation is None:
        return []
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(_WAITING, (generation.generation_id,)).fetchall()
