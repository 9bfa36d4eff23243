"""A URL in, a connection out; the one place where psycopg's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import psycopg
from psycopg.rows import TupleRow

from ingestion_assets.errors import StoreError, StoreUnavailableError

Connection: TypeAlias = psycopg.Connection[TupleRow]

_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
_IN_PASSING = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
)


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """Open an autocommit connection; transactions are explicit.

    Args:
        url: a libpq URL, `postgresql://…`; Dagster's `postgresql+psycopg2://` is understood too.

    Raises:
        StoreUnavailableError: no connection, or one that was lost; a deadlock, or a race with
            another writer. Retryable.
        StoreError: anything else that Postgres refuses.
    """
    try:
        with psycopg.connect(
            libpq_url(url), autocommit=True, application_name="ingestion-assets", connect_timeout=10
        ) as connection:
            yield connection
    except psycopg.Error as exc:
        raise translated(exc) from exc


def libpq_url(url: str) -> str:
    """Strip SQLAlchemy's driver name from a database URL."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


def translated(exc: psycopg.Error) -> StoreError:
    """Our error for one of psycopg's; the message never contains the URL."""
    state = f" ({exc.sqlstate})" if exc.sqlstate else ""
    message = f"Postgres: {str(exc).strip() or type(exc).__name__}{state}"
    return StoreUnavailableError(message) if isinstance(exc, _IN_PASSING) else StoreError(message)


@contextmanager
def durable(connection: Connection) -> Iterator[None]:
    """A transaction whose commit also makes every commit before it durable."""
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = on")
        # A transaction that wrote nothing flushes nothing; one with an id does.
        connection.execute("SELECT pg_current_xact_id()")
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
