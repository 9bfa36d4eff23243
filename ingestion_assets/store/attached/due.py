"""Which attached tables have rows that wait although nobody has them in hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from ingestion_assets.store.attached import adopted
from ingestion_assets.store.attached.attachment import attachments
from ingestion_assets.store.connection import Connection

_ADOPTED_AT_ONCE = 2000  # rows

_DUE = """
SELECT a.name, count(r.row_id) AS rows, max(coalesce(r.not_before, r.enqueued_at)) AS newest
FROM ingestion.attachments a
LEFT JOIN ingestion.attached_rows r
    ON r.attachment = a.name AND NOT r.quarantined
   AND (r.state IN ('pending', 'error') OR r.state = 'processing' AND r.lease_until < now())
   AND coalesce(r.not_before, r.enqueued_at) <= now() - make_interval(secs => %s)
WHERE EXISTS (SELECT FROM pg_class WHERE oid = a.relation)
GROUP BY a.name HAVING count(r.row_id) > 0 OR bool_or(a.scanned_at IS NULL)
ORDER BY min(r.enqueued_at), a.name
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An attached table with work for somebody.

    Attributes:
        rows: that wait; none if the table was not even looked through.
        newest: when the latest of them became due.
    """

    name: str
    rows: int
    newest: datetime | None


def due(connection: Connection, seconds: float) -> Sequence[Waiting]:
    """Tables with rows that have been due for so long, or that were not looked through yet."""
    for found in attachments(connection):
        if found.adopted and found.table is not None:
            adopted.take_over(connection, found, _ADOPTED_AT_ONCE)
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(_DUE, (seconds,)).fetchall()
