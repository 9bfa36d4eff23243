"""What is known of an attached table's rows: due, in hand, done; never waiting for a lock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from ingestion_assets.errors import ExtractionError
from ingestion_assets.store.connection import Connection

_DUE = """
SELECT row_id, row_key, content_hash FROM ingestion.attached_rows
WHERE attachment = %s
  AND (state IN ('pending', 'processing') OR (state = 'error' AND NOT quarantined))
  AND CASE state WHEN 'processing' THEN lease_until < clock_timestamp()
                 ELSE coalesce(not_before, '-infinity') <= clock_timestamp() END
ORDER BY enqueued_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
_MINE = """
SELECT row_id, row_key, content_hash FROM ingestion.attached_rows
WHERE attachment = %s AND owner = %s AND state = 'processing'
  AND (%s::uuid[] IS NULL OR row_id = ANY (%s::uuid[]))
FOR UPDATE SKIP LOCKED
"""
_HELD = """
SELECT row_id FROM ingestion.attached_rows
WHERE attachment = %s AND owner = %s AND state = 'processing' AND row_id = ANY (%s)
"""
_TAKE = """
UPDATE ingestion.attached_rows SET state = 'processing', owner = %s, attempts = attempts + 1,
    lease_until = clock_timestamp() + make_interval(secs => %s), not_before = NULL,
    quarantined = false
WHERE row_id = ANY (%s)
"""
_SETTLE = """
UPDATE ingestion.attached_rows r SET state = %s, content_hash = s.content_hash, attempts = 0,
    owner = NULL, lease_until = NULL, not_before = NULL, quarantined = false,
    error_class = NULL, error = NULL, completed_at = clock_timestamp()
FROM unnest(%b::uuid[], %b::bytea[]) AS s (row_id, content_hash) WHERE r.row_id = s.row_id
"""
_GIVE_BACK = """
UPDATE ingestion.attached_rows SET state = 'pending', owner = NULL, lease_until = NULL,
    attempts = greatest(attempts - 1, 0), enqueued_at = clock_timestamp()
WHERE row_id = ANY (%s)
"""
_PUT_OFF = """
UPDATE ingestion.attached_rows SET not_before = clock_timestamp() + interval '1 second'
WHERE row_id = ANY (%s)
"""
_FAIL = """
UPDATE ingestion.attached_rows r SET state = 'error', quarantined = f.quarantined,
    error_class = f.error_class, error = f.error, owner = NULL, lease_until = NULL,
    content_hash = CASE WHEN f.quarantined THEN NULL ELSE r.content_hash END,
    not_before = CASE WHEN NOT f.quarantined THEN clock_timestamp() + random()
        * make_interval(secs => least(3600, 5 * power(2, least(r.attempts, 16)))) END
FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::boolean[])
     AS f (row_id, error_class, error, quarantined)
WHERE r.row_id = f.row_id
"""
_RENEW = """
UPDATE ingestion.attached_rows
SET lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE row_id IN (
    SELECT row_id FROM ingestion.attached_rows
    WHERE attachment = %s AND owner = %s AND state = 'processing' FOR UPDATE SKIP LOCKED
)
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one row.

    Attributes:
        content_hash: of the text that its vector was made of; none if it has none.
    """

    row_id: UUID
    key: str
    content_hash: bytes | None


def due(connection: Connection, attachment: str, limit: int) -> list[Known]:
    """Lock the rows that wait longest: new ones, failed ones, and those of dead owners."""
    return [Known(*row) for row in connection.execute(_DUE, (attachment, limit), binary=True)]


def mine(
    connection: Connection, attachment: str, owner: str, ids: Sequence[UUID] | None = None
) -> list[Known]:
    """Lock the rows that an owner has in hand: some of them, or all.

    A row that changed meanwhile is not in hand any more: its trigger made it pending.
    """
    some = None if ids is None else list(ids)
    rows = connection.execute(_MINE, (attachment, owner, some, some), binary=True)
    return [Known(*row) for row in rows]


def held(connection: Connection, attachment: str, owner: str, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the rows that an owner still has in hand, locked by somebody or not."""
    rows = connection.execute(_HELD, (attachment, owner, list(ids)), binary=True)
    return {row_id for (row_id,) in rows}


def take(connection: Connection, owner: str, lease: float, rows: Iterable[Known]) -> None:
    """Give rows to an owner, for `lease` seconds."""
    connection.execute(_TAKE, (owner, lease, [row.row_id for row in rows]))


def settle(
    connection: Connection, state: str, rows: Sequence[Known], hashes: Sequence[bytes | None]
) -> None:
    """Rows that are `completed` or `skipped`, each with the hash of what its vector was made of."""
    connection.execute(_SETTLE, (state, [row.row_id for row in rows], list(hashes)))


def give_back(connection: Connection, rows: Iterable[Known]) -> None:
    """Rows that are to be embedded, but were not tried; they are pending again."""
    connection.execute(_GIVE_BACK, ([row.row_id for row in rows],))


def put_off(connection: Connection, rows: Iterable[Known]) -> None:
    """Rows that somebody else holds just now; they are due again in a second."""
    connection.execute(_PUT_OFF, ([row.row_id for row in rows],))


def fail(
    connection: Connection,
    rows: Sequence[Known],
    classes: Sequence[str],
    messages: Sequence[str],
    quarantined: Sequence[bool],
) -> None:
    """Rows that got no vector; due again after a time that doubles, unless they are quarantined."""
    ids = [row.row_id for row in rows]
    connection.execute(_FAIL, (ids, list(classes), list(messages), list(quarantined)))


def refuse(connection: Connection, rows: Sequence[Known], messages: Sequence[str]) -> None:
    """Rows whose text cannot be made; they are quarantined."""
    fail(connection, rows, [ExtractionError.__name__] * len(rows), messages, [True] * len(rows))


def renew(connection: Connection, attachment: str, owner: str, lease: float) -> None:
    """Keep what an owner has in hand for `lease` seconds from now."""
    connection.execute(_RENEW, (lease, attachment, owner))


def forget(connection: Connection, attachment: str, keys: Sequence[str]) -> None:
    """Rows that are gone from the table leave nothing behind."""
    connection.execute("SELECT ingestion.forget_attached(%s, %s)", (attachment, list(keys)))


def wake(connection: Connection) -> None:
    """Tell the workers that there is something to do."""
    connection.execute("SELECT pg_notify('ingestion_ledger', '')")
