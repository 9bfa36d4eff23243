"""Generations that are not searched, filled while the one that is has nothing to do."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

from ingestion_assets.embedding import Ollama
from ingestion_assets.errors import OllamaError, StoreError
from ingestion_assets.retrieval.promotion import promote
from ingestion_assets.store import claims
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.generations.activation import Standing
from ingestion_assets.worker.drain import Manner
from ingestion_assets.worker.pace import Pace
from ingestion_assets.worker.patience import pause
from ingestion_assets.worker.session import Place, Session, open_session

PAUSE = 0.1  # seconds in which texts gather
LOOK = 1.0  # seconds between two looks how far each is
LONGEST_PAUSE = 60.0  # seconds after a failure: nobody waits for what is not searched

logger = logging.getLogger(__name__)


class Yielding(Pace):
    """Lets texts pass while nothing else is under way."""

    def __init__(self) -> None:
        super().__init__(0)
        self._others = 0
        self._free = asyncio.Event()
        self._free.set()

    def __enter__(self) -> None:
        self._others += 1
        self._free.clear()

    def __exit__(self, *_: object) -> None:
        self._others -= 1
        if not self._others:
            self._free.set()

    async def wait(self, texts: int) -> None:
        """Return when nothing goes first."""
        await self._free.wait()


class Beside:
    """Fills them one after the other, a small request at a time, and has them made active.

    Attributes:
        yielding: to be entered while something goes first.
    """

    def __init__(self, place: Place, manner: Manner, deadline: float) -> None:
        self.yielding = Yielding()
        self._place = replace(place, settings=replace(place.settings, workers=1, max_workers=1))
        self._manner = replace(manner, backlog=manner.live, pace=self.yielding)
        self._deadline = deadline
        self._woken = asyncio.Event()
        self._looked = float("-inf")

    def wake(self) -> None:
        """There may be work."""
        self._woken.set()

    async def run(self, session: Session) -> None:
        """Fill what is there beside a session's generation, each time that it is woken."""
        failures = 0
        while not self._manner.ending.is_set():
            self._woken.clear()
            looking = time.monotonic() - self._looked > LOOK
            failures = 0 if await self._fill_all(session, looking) else failures + 1
            await self._rest(pause(failures, LONGEST_PAUSE) if failures else PAUSE)
            if looking and not failures:
                await self._woken.wait()

    async def _fill_all(self, session: Session, looking: bool) -> bool:
        """Whether nothing went wrong.

        Args:
            looking: also how far each is, which has to be counted.
        """
        well = True
        for generation in await session.beside():
            try:
                await fill(self._place, self._manner, self._deadline, generation)
                if looking:
                    await take_further(self._place, self._manner, generation)
                    self._looked = time.monotonic()
            except (OllamaError, StoreError) as error:
                well = False
                logger.error("Generation %d is not filled: %s", generation.generation_id, error)
        return well

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._manner.ending.wait()


async def fill(place: Place, manner: Manner, deadline: float, generation: Generation) -> None:
    """Embed what a generation lacks.

    Raises:
        OllamaError: the servers are at fault, or do not have its model.
        StoreError: Postgres refuses.
    """
    if await manner.patience.call(_waits, place.url, generation):
        async with open_session(place, manner, deadline, generation) as session:
            if session is not None:
                for queue in await session.refresh():
                    await session.drain(queue)


async def take_further(place: Place, manner: Manner, generation: Generation) -> bool:
    """Have a generation that is to become active indexed, judged and activated.

    Returns:
        Whether it lacks no text; what is kept to go back to may.

    Raises:
        OllamaError: its golden questions cannot be embedded.
        StoreError: Postgres refuses.
    """
    if generation.status != "building" or manner.ending.is_set():
        return True
    host, settings = place.hosts[0], place.settings
    ollama = partial(Ollama, host, api_key=settings.ollama_api_key, timeout=settings.timeout)
    return await promote(place.url, generation, ollama) is not Standing.WAITING


def _waits(url: str, generation: Generation) -> bool:
    with connect(url) as connection:
        return claims.waits(connection, generation)
