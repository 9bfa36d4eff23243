"""The listener on the real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ingestion_assets.store.connection import Connection
from ingestion_assets.worker.listener import Listener

_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class _Wakes:
    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def wake(self) -> None:
        self.count += 1
        self._next.set()

    async def next(self) -> None:
        await asyncio.wait_for(self._next.wait(), 30)
        self._next.clear()


@asynccontextmanager
async def _listening(url: str, *channels: str) -> AsyncIterator[tuple[Listener, _Wakes]]:
    wakes = _Wakes()
    listener = Listener(url, wakes.wake)
    listener.listen_to(channels)
    running = asyncio.create_task(listener.run())
    await wakes.next()  # it listens now
    yield listener, wakes
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_every_notification_wakes(database: str, connection: Connection):
    async with _listening(database, "a", 'B "b') as (_, wakes):
        for channel in ("a", 'B "b'):
            connection.execute("SELECT pg_notify(%s, '')", (channel,))
            await wakes.next()
        assert wakes.count == 3


async def test_a_lost_connection_is_replaced_and_wakes_for_what_was_missed(database, connection):
    async with _listening(database, "a") as (_, wakes):
        connection.execute(_END_OTHERS)
        await wakes.next()
        connection.execute("NOTIFY a")
        await wakes.next()


async def test_other_channels_are_listened_to_when_they_are_said(database, connection):
    async with _listening(database, "a") as (listener, wakes):
        listener.listen_to(["b"])
        await wakes.next()
        connection.execute("NOTIFY b")
        await wakes.next()
        before = wakes.count
        listener.listen_to(["b"])
        connection.execute("NOTIFY a")
        connection.execute("NOTIFY b")
        await wakes.next()
        assert wakes.count == before + 1
