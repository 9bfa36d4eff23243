"""One index by its name: whose turn it is to build it, and the building while others write."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from ingestion_assets.store.connection import Connection

_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


@contextmanager
def sole(connection: Connection, name: str) -> Iterator[bool]:
    """Whether nobody else builds or drops the index, and nobody will in the block."""
    lock = (f"ingestion:{name}",)
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", lock
    ).fetchone()
    if row is None or not row[0]:
        yield False
        return
    try:
        yield True
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", lock)


def is_valid(connection: Connection, name: str) -> bool:
    """Whether the index is there, and is used."""
    row = connection.execute(_IS_VALID, (f'ingestion."{name}"',)).fetchone()
    return bool(row and row[0])


def create(connection: Connection, name: str, definition: sql.Composed) -> None:
    """Build an index while reading and writing go on.

    What a build that was interrupted leaves is maintained, but never used: it is replaced.
    """
    drop(connection, name)
    connection.execute(
        sql.SQL("CREATE INDEX CONCURRENTLY {} ").format(sql.Identifier(name)) + definition
    )


def drop(connection: Connection, name: str) -> None:
    """Drop an index if it is there; nobody waits behind it."""
    connection.execute(
        sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier("ingestion", name))
    )
