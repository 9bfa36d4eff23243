"""The attached tables in numbers, and the rows that failed."""

from dataclasses import dataclass

from psycopg.rows import class_row

from ingestion_assets.store.attached import columns
from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.connection import Connection

_COUNTS = """
SELECT count(*) FILTER (WHERE state = 'pending') AS pending,
       count(*) FILTER (WHERE state = 'processing') AS processing,
       count(*) FILTER (WHERE state = 'completed') AS completed,
       count(*) FILTER (WHERE state = 'skipped') AS skipped,
       count(*) FILTER (WHERE state = 'error') AS failed
FROM ingestion.attached_rows WHERE attachment = %s
"""
_FAILURES = """
SELECT row_key AS key, error_class, error, attempts, quarantined FROM ingestion.attached_rows
WHERE attachment = %s AND state = 'error' ORDER BY row_key LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows by state; `failed` are those with an error, quarantined or not."""

    pending: int
    processing: int
    completed: int
    skipped: int
    failed: int


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that got no vector, and why; a quarantined one is left alone until it changes."""

    key: str
    error_class: str
    error: str
    attempts: int
    quarantined: bool


def counts(connection: Connection, attachment: Attachment) -> RowCounts:
    """Count an attachment's rows by state."""
    with connection.cursor(row_factory=class_row(RowCounts)) as cursor:
        found = cursor.execute(_COUNTS, (attachment.name,)).fetchone()
    return found or RowCounts(0, 0, 0, 0, 0)


def failures(
    connection: Connection, attachment: Attachment, limit: int | None = None
) -> list[FailedRow]:
    """Rows that failed, in the order of their keys; all of them if there is no limit."""
    with connection.cursor(row_factory=class_row(FailedRow)) as cursor:
        return cursor.execute(_FAILURES, (attachment.name, limit)).fetchall()


def retry(connection: Connection, attachment: Attachment) -> int:
    """Let the rows that failed be tried again, quarantined ones too; returns how many."""
    with connection.transaction():
        keys = [failed.key for failed in failures(connection, attachment)]
        if attachment.status_column is not None:
            columns.mark(connection, attachment, "pending", keys)
        connection.execute("SELECT ingestion.enqueue_attached(%s, %s)", (attachment.name, keys))
    return len(keys)
