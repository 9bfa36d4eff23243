"""Everything that appears in the database embedded, until somebody says stop."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingestion_assets.errors import OllamaError, StoreError
from ingestion_assets.memory import Memory
from ingestion_assets.store.claims import CHANNEL
from ingestion_assets.store.schema import migrate
from ingestion_assets.worker.beside import Beside
from ingestion_assets.worker.drain import Manner
from ingestion_assets.worker.listener import Listener
from ingestion_assets.worker.pace import Pace
from ingestion_assets.worker.patience import Patience, pause
from ingestion_assets.worker.queue import Queue
from ingestion_assets.worker.session import Place, Session, open_session
from ingestion_assets.worker.stopping import GRACE, until
from ingestion_assets.worker.wakeups import Wakeups

HOLD = 60.0  # seconds that texts are kept in hand while no server of Ollama answers
LASTING = 60.0  # seconds after which a session that fails has been a good one
LONGEST_PAUSE = 30.0  # seconds between two sessions

logger = logging.getLogger(__name__)


class Worker:
    """Embeds what is notified, and what a sweep finds; survives Postgres and Ollama.

    Attributes:
        session: the one under way, if there is one.
    """

    def __init__(self, place: Place) -> None:
        self.session: Session | None = None
        self._place = place
        self._stop = asyncio.Event()
        self._patience = Patience()
        self._memory = Memory()
        self._wakeups = Wakeups(place.settings.worker_sweep)
        self._listener = Listener(place.url, self._wakeups.notify)
        self._manner = Manner(
            live=place.settings.worker_batch,
            backlog=place.settings.worker_backfill_batch,
            pace=Pace(0),
            patience=self._patience,
            ending=self._stop,
            waited_for=True,
        )
        deadline = min(HOLD, place.settings.deadline)
        self._beside = Beside(place, self._manner, deadline)

    def stop(self) -> None:
        """Finish the texts in hand, release the others, and have `run` return."""
        self._stop.set()
        self._wakeups.notify()
        self._beside.wake()

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            SchemaVersionError: the database is newer than this code.
        """
        self._listener.listen_to([CHANNEL])
        listening = asyncio.create_task(self._listener.run())
        try:
            await until(self._stop, self._work(), lambda: GRACE if self.session else 0.0)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _work(self) -> None:
        await self._patience.call(migrate, self._place.url)
        failures = 0
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                await self._serve()
                failures = 0
            except (OllamaError, StoreError) as error:
                if time.monotonic() - started > LASTING:
                    failures = 0
                failures += 1
                seconds = pause(failures, LONGEST_PAUSE)
                logger.error("Interrupted, again in %.1f s: %s", seconds, error)
                await asyncio.sleep(seconds)

    async def _serve(self) -> None:
        """One session, until another generation is active."""
        deadline = min(HOLD, self._place.settings.deadline)
        async with open_session(self._place, self._manner, deadline) as session:
            if session is None:
                await self._wakeups.next()
                return
            self.session = session
            try:
                with _first_error():
                    await self._attend(session)
            finally:
                self.session = None

    async def _attend(self, session: Session) -> None:
        """Wake every queue when it is time to look."""
        attendants: dict[Queue, asyncio.Event] = {}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._beside.run(session))]
            while queues := await session.refresh():
                self._listener.listen_to({CHANNEL, *(c for q in queues for c in q.channels)})
                for queue in queues:
                    if queue not in attendants:
                        attendants[queue] = asyncio.Event()
                        tasks.append(
                            group.create_task(self._tend(session, queue, attendants[queue]))
                        )
                    attendants[queue].set()
                self._beside.wake()
                if self._stop.is_set():
                    return
                await self._wakeups.next()
                self._place.metrics.wakeups.inc()
            logger.info("Another generation is active now")
            for task in tasks:
                task.cancel()

    async def _tend(self, session: Session, queue: Queue, woken: asyncio.Event) -> None:
        failures = 0
        while not self._stop.is_set():
            await woken.wait()
            woken.clear()
            try:
                with self._beside.yielding:
                    await session.drain(queue)
                failures = 0
            except StoreError as error:  # of this queue: a table that others may change
                failures += 1
                seconds = pause(failures, LONGEST_PAUSE)
                logger.error("%s stalls, again in %.1f s: %s", queue.name, seconds, error)
                await asyncio.sleep(seconds)
                woken.set()
            if self._memory.is_due:
                session.close_kept()
                self._memory.give_back()


@contextmanager
def _first_error() -> Iterator[None]:
    """Of errors that tasks raised together, the first."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
