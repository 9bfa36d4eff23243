"""One process's shares of the servers, kept in step with those of all others through Postgres."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import psycopg

from ingestion_assets.postgres_url import parameters
from ingestion_assets.share import Share
from ingestion_assets.store.fleet.seat import Seat

BEAT = 0.5  # seconds between two looks at what others need
HUNGRY_BEAT = 0.05  # seconds, while less is granted than is wanted
AGAIN = 1.0  # seconds until a database that is away is tried again

# A host that cannot be reached any more must learn that it has lost its slots before Postgres
# gives them to another one.
_LOST = 8.0  # seconds without an answer
_KEEPALIVE = {"tcp_keepalives_idle": 5, "tcp_keepalives_interval": 3, "tcp_keepalives_count": 3}

logger = logging.getLogger(__name__)


class Fleet:
    """Grants requests in flight, so that no server ever has more of them than all may send.

    Every request in flight has a slot of its server: an advisory lock, which Postgres frees when
    the process or its host is gone. Backfills share what `target` finds to be enough, in equal
    parts; some slots are not for them, so that whoever waits for a vector finds one. Use it as an
    async context manager. While Postgres is away, nothing is granted.

    Args:
        url: of the database.
        shares: by the server's url.
        most: requests in flight at one server at most, of all processes.
        live: somebody waits for these vectors; they go before those of a backfill.
    """

    def __init__(self, url: str, shares: Mapping[str, Share], *, most: int, live: bool) -> None:
        self._url = url
        self._seats = [Seat(server, share, most, live=live) for server, share in shares.items()]
        self._starving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for seat in self._seats:
            seat.share.starving = self._starving
            seat.withdraw()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._starving.wait()
            try:
                await self._keep()
            except (psycopg.Error, TimeoutError) as error:
                for seat in self._seats:
                    seat.withdraw()
                logger.warning("Nothing is sent to Ollama until Postgres answers: %s", error)
                await asyncio.sleep(AGAIN)

    async def _keep(self) -> None:
        options = parameters(self._url)
        async with await psycopg.AsyncConnection.connect(autocommit=True, **options) as connection:
            for name, seconds in _KEEPALIVE.items():
                await connection.execute("SELECT set_config(%s, %s, false)", (name, str(seconds)))
            while True:
                self._starving.clear()
                async with asyncio.timeout(_LOST):
                    for seat in self._seats:
                        await seat.beat(connection)
                await self._pause()

    async def _pause(self) -> None:
        if any(seat.hungry for seat in self._seats):
            await asyncio.sleep(HUNGRY_BEAT)
            return
        idle = not any(seat.held.slots for seat in self._seats)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if idle else BEAT):
                await self._starving.wait()
