"""Which partitions have work that waits in the ledger: what nobody has in hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection

_DUE = """
SELECT c.partition_key, count(*) AS texts, count(*) FILTER (WHERE l.state = 'error') AS failed,
       max(coalesce(l.not_before, l.enqueued_at)) AS newest
FROM ingestion.ledger l
JOIN ingestion.filled g USING (generation_id)
JOIN ingestion.chunks c USING (chunk_id)
LEFT JOIN ingestion.owners o USING (owner)
WHERE NOT l.quarantined AND NOT c.superseded
  AND coalesce(l.not_before, l.enqueued_at) <= now() - make_interval(secs => %(seconds)s)
  AND (l.state <> 'processing' OR greatest(l.lease_until, o.lease_until) <= now())
  AND (%(failed)s OR l.state <> 'error')
GROUP BY c.partition_key ORDER BY min(l.enqueued_at), c.partition_key LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A partition with texts that could be embedded now.

    Attributes:
        failed: those of the texts that failed before.
        newest: when the latest of them became due.
    """

    partition_key: str
    texts: int
    failed: int
    newest: datetime


def due(connection: Connection, *, seconds: float, limit: int, failed: bool) -> Sequence[Due]:
    """Partitions with texts that have been due for so long, those that wait longest first.

    Args:
        seconds: since a text was enqueued, or its next attempt was due.
        limit: partitions at most.
        failed: texts that failed before are due too, when their pause is over.
    """
    with connection.cursor(row_factory=class_row(Due)) as cursor:
        given = {"seconds": seconds, "limit": limit, "failed": failed}
        return cursor.execute(_DUE, given).fetchall()
