"""The rows that are in a table when it is attached, enqueued page by page."""

from psycopg import sql

from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.attached.keys import key_of, matches, ordered, parts_of
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.connection import Connection

PAGE = 2_000  # rows enqueued in one transaction

_CURSOR = """
SELECT scanned_to FROM ingestion.attachments
WHERE name = %s AND scanned_at IS NULL FOR UPDATE SKIP LOCKED
"""
_PAGE = """
SELECT {key}, {wanted} FROM {relation} t {after} ORDER BY {ordered} LIMIT %s
"""
_ENQUEUE = """
INSERT INTO ingestion.attached_rows (attachment, row_key)
SELECT %s, k.row_key FROM unnest(%s::text[]) AS k (row_key) ORDER BY k.row_key
ON CONFLICT (attachment, row_key) DO NOTHING
"""
# Whoever holds a row just now keeps it; it has the right status as soon as it is claimed.
_PENDING = """
WITH free AS (
    SELECT {columns} FROM unnest(%s::text[]) AS k (row_key) JOIN {relation} t ON {matches}
    WHERE t.{status} IS DISTINCT FROM 'pending' FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE {relation} t SET {status} = 'pending' FROM free WHERE {same}
"""
_ADVANCE = "UPDATE ingestion.attachments SET scanned_to = %s WHERE name = %s"
_END = "UPDATE ingestion.attachments SET scanned_at = now() WHERE name = %s"


def scan(connection: Connection, attachment: Attachment) -> int | None:
    """Enqueue the next page of the rows that were there at first, in one transaction.

    A scan that was broken off goes on where it was. Of a table whose trigger was adopted, rows
    that are completed, skipped or failed already are left as they are.

    Returns:
        How many rows were looked at; None when there are no more, or somebody else is at it.
    """
    with connection.transaction():
        # An application's transaction must not become the victim of a deadlock with this one.
        connection.execute("SET LOCAL lock_timeout = '500ms'")
        found = connection.execute(_CURSOR, (attachment.name,)).fetchone()
        if found is None:
            return None
        page = _page(connection, attachment, found[0])
        if not page:
            connection.execute(_END, (attachment.name,))
            return None
        keys = [key for key, wanted in page if wanted]
        connection.execute(_ENQUEUE, (attachment.name, keys))
        if attachment.status_column:
            _set_pending(connection, attachment, keys)
        connection.execute(_ADVANCE, (page[-1][0], attachment.name))
        connection.execute("SELECT pg_notify('ingestion_ledger', '')")
    return len(page)


def _page(
    connection: Connection, attachment: Attachment, after: str | None
) -> list[tuple[str, bool]]:
    keys = attachment.keys
    beyond = sql.SQL("WHERE ({}) > ({})").format(
        ordered(keys, "t"), sql.SQL(", ").join(parts_of(keys, sql.SQL("%s")))
    )
    wanted = sql.SQL("t.{} IS NULL OR t.{}::text NOT IN ('completed', 'skipped', 'error')").format(
        attachment.status, attachment.status
    )
    query = sql.SQL(_PAGE).format(
        key=key_of(keys, "t"),
        wanted=wanted if attachment.adopted else sql.SQL("true"),
        relation=attachment.relation,
        after=sql.SQL("") if after is None else beyond,
        ordered=ordered(keys, "t"),
    )
    cursor = [] if after is None else [after] * len(keys)
    return connection.execute(query, [*cursor, PAGE]).fetchall()


def _set_pending(connection: Connection, attachment: Attachment, keys: list[str]) -> None:
    columns = [identifier(key.column) for key in attachment.keys]
    query = sql.SQL(_PENDING).format(
        columns=ordered(attachment.keys, "t"),
        relation=attachment.relation,
        matches=matches(attachment.keys, "t", identifier("k", "row_key")),
        status=attachment.status,
        same=sql.SQL(" AND ").join(
            sql.SQL("t.{0} = free.{0}").format(column) for column in columns
        ),
    )
    connection.execute(query, (keys,))
