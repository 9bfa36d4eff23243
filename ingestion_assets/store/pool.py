"""A URL in, pooled connections for a running loop out; psycopg's errors become ours here too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from ingestion_assets.postgres_url import parameters
from ingestion_assets.store.connection import translated

AsyncConnection: TypeAlias = psycopg.AsyncConnection[TupleRow]
Pool: TypeAlias = AsyncConnectionPool[AsyncConnection]

# Seconds until a lost connection is given up; the next request opens another. With psycopg's five
# minutes, and delays that double, a long outage would go on for minutes after its end.
RECONNECTING = 5.0


def open_pool(url: str, *, smallest: int = 1, largest: int = 1, timeout: float = 10.0) -> Pool:
    """A pool of autocommit connections; use it as an async context manager.

    A connection is checked before it is lent, so that a restart of Postgres goes unnoticed.

    Args:
        url: as for `connect`.
        smallest: connections kept open.
        largest: connections open at once at most.
        timeout: seconds that one is waited for.

    Raises:
        ConfigError: the URL cannot be read.
    """
    options: dict[str, Any] = {"autocommit": True, **parameters(url)}
    return AsyncConnectionPool(
        kwargs=options,
        min_size=smallest,
        max_size=largest,
        timeout=timeout,
        reconnect_timeout=RECONNECTING,
        open=False,
        check=AsyncConnectionPool.check_connection,
        name="search",
    )


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncIterator[AsyncConnection]:
    """One connection, for as long as the block.

    Raises:
        StoreUnavailableError: none came free in time, or Postgres is gone. Retryable.
        StoreError: anything else that Postgres refuses.
    """
    try:
        async with pool.connection() as connection:
            yield connection
    except psycopg.Error as exc:
        raise translated(exc) from exc
