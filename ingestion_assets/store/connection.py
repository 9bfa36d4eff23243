"""A URL in, a connection out; the one place where psycopg's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import psycopg
from psycopg.rows import TupleRow

from ingestion_assets.errors import StoreError, StoreUnavailableError
from ingestion_assets.postgres_url import parameters

Connection: TypeAlias = psycopg.Connection[TupleRow]

_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
_RACES = (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation)
# SQLSTATE classes that psycopg counts as operational although repeating cannot help:
# authorization, routines, limits of the program, configuration file, foreign data.
_LASTING = ("28", "2F", "38", "39", "3B", "54", "F0", "HV")


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """Open an autocommit connection; transactions are explicit.

    Args:
        url: a libpq URL, `postgresql://…`; Dagster's `postgresql+psycopg2://` is understood too.

    Raises:
        ConfigError: the URL cannot be read.
        StoreUnavailableError: no connection, or one that was lost; a deadlock, or a race with
            another writer. Retryable.
        StoreError: anything else that Postgres refuses.
    """
    options = parameters(url)
    try:
        with psycopg.connect(autocommit=True, **options) as connection:
            yield connection
    except psycopg.Error as exc:
        raise translated(exc) from exc


def translated(exc: psycopg.Error) -> StoreError:
    """Our error for one of psycopg's; the message never contains the URL."""
    state = f" ({exc.sqlstate})" if exc.sqlstate else ""
    message = f"Postgres: {str(exc).strip() or type(exc).__name__}{state}"
    return StoreUnavailableError(message) if _in_passing(exc) else StoreError(message)


def _in_passing(exc: psycopg.Error) -> bool:
    if isinstance(exc, psycopg.OperationalError):
        return not (exc.sqlstate or "").startswith(_LASTING)
    return isinstance(exc, (psycopg.InterfaceError, *_RACES))


@contextmanager
def durable(connection: Connection) -> Iterator[None]:
    """A transaction whose commit also makes every commit before it durable."""
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = on")
        # A transaction that logged nothing flushes nothing, even if it has an id.
        connection.execute("SELECT pg_logical_emit_message(true, 'ingestion', '')")
        yield


@contextmanager
def partition_lock(connection: Connection, partition_key: str) -> Iterator[None]:
    """Hold the right to write a partition; Postgres frees it when the process dies.

    Raises:
        StoreUnavailableError: another run is writing this partition; retryable.
    """
    name = (f"ingestion:{partition_key}",)
    row = connection.execute(_TRY_LOCK, name).fetchone()
    if row is None or not row[0]:
        raise StoreUnavailableError(
            f"partition {partition_key!r} is being written by another run; wait for it to end"
        )
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(_UNLOCK, name)
