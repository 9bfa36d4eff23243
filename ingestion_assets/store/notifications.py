"""Channels in, a wake-up for every notification out."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager

import psycopg
from psycopg import sql

from ingestion_assets.postgres_url import KEEPALIVE, parameters
from ingestion_assets.store.connection import translated


@asynccontextmanager
async def listening(url: str, channels: Iterable[str]) -> AsyncIterator[AsyncIterator[str]]:
    """The payloads of what is notified from now on, on a connection of its own.

    What was notified before, or while nobody listened, is lost: look at the tables after entering.

    Raises:
        StoreUnavailableError: no connection, or it was lost. Retryable.
    """
    options = {**KEEPALIVE, **parameters(url)}
    try:
        async with await psycopg.AsyncConnection.connect(autocommit=True, **options) as connection:
            for channel in channels:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            # Left open, it would keep the connection's lock, without which that cannot be closed.
            async with aclosing(connection.notifies()) as notifications:
                yield (notification.payload async for notification in notifications)
    except psycopg.Error as exc:
        raise translated(exc) from exc
