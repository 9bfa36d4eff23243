"""A trigger that was there before us: what it marked as pending is taken over."""

from psycopg import sql

from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.attached.keys import key_of, matches
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.connection import Connection

_PENDING = """
SELECT {key} FROM {relation} t
WHERE t.{status}::text = 'pending' AND NOT EXISTS (
    SELECT FROM ingestion.attached_rows r
    WHERE r.attachment = %s AND r.row_key = {key} AND r.state IN ('pending', 'processing'))
LIMIT %s
"""
_PURGE = """
SELECT ingestion.forget_attached(%s, ARRAY(
    SELECT r.row_key FROM ingestion.attached_rows r
    WHERE r.attachment = %s AND NOT EXISTS (SELECT FROM {relation} t WHERE {matches})))
"""


def take_over(connection: Connection, attachment: Attachment, limit: int) -> None:
    """Enqueue what the application's own trigger marked as pending."""
    query = sql.SQL(_PENDING).format(
        key=key_of(attachment.keys, "t"),
        relation=attachment.relation,
        status=attachment.status,
    )
    keys = [key for (key,) in connection.execute(query, (attachment.name, limit))]
    if keys:
        connection.execute("SELECT ingestion.enqueue_attached(%s, %s)", (attachment.name, keys))


def purge(connection: Connection, attachment: Attachment) -> None:
    """Forget rows that were deleted: the application's trigger does not tell."""
    query = sql.SQL(_PURGE).format(
        relation=attachment.relation,
        matches=matches(attachment.keys, "t", identifier("r", "row_key")),
    )
    connection.execute(query, (attachment.name, attachment.name))
