"""Generations that nobody needs any more: their vectors go, their names stay known."""

from collections.abc import Sequence

from psycopg import sql

from ingestion_assets.errors import GenerationError
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations.generation import Generation, find, lock

_EXPIRED = """
SELECT generation_id FROM ingestion.generations
WHERE status = 'retired' AND drop_after <= now() ORDER BY generation_id
"""
_DROP = """
UPDATE ingestion.generations SET status = 'dropped', maintained = false,
    retired_at = coalesce(retired_at, now()), drop_after = now(), gate = NULL
WHERE generation_id = %s
"""


def drop_expired(connection: Connection) -> Sequence[int]:
    """Drop what is retired and past its grace period; returns the numbers, in order."""
    expired = [number for (number,) in connection.execute(_EXPIRED)]
    return [number for number in expired if _drop(connection, number, {"retired"})]


def drop(connection: Connection, generation: Generation) -> None:
    """Drop a generation that is retired, or give up one that is building.

    Raises:
        GenerationError: it is the active one, or dropped already.
    """
    if not _drop(connection, generation.generation_id, {"retired", "building"}):
        found = find(connection, generation.generation_id)
        status = found.status if found else "gone"
        raise GenerationError(
            f"generation {generation.generation_id} is {status}; only one that is retired or"
            " building can be dropped"
        )


def _drop(connection: Connection, number: int, statuses: set[str]) -> bool:
    """Drop it if it has one of these statuses; whoever writes to it has it waiting."""
    with connection.transaction():
        lock(connection)
        found = find(connection, number)
        if found is None or found.status not in statuses:
            return False
        connection.execute(_DROP, (number,))
        connection.execute("DELETE FROM ingestion.ledger WHERE generation_id = %s", (number,))
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(found.table))
        return True
