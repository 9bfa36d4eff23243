"""Everything that waits embedded, and then an end."""

import asyncio

from ingestion_assets.store.schema import migrate
from ingestion_assets.worker.beside import fill, take_further
from ingestion_assets.worker.drain import Manner
from ingestion_assets.worker.pace import Pace
from ingestion_assets.worker.patience import Patience
from ingestion_assets.worker.progress import Progress
from ingestion_assets.worker.session import Place, Session, open_session
from ingestion_assets.worker.stopping import GRACE, until

LOOK = 1.0  # seconds until what others have in hand is looked at again


class Backfill:
    """Drains all queues; waits for what others have in hand, since that may come back.

    Attributes:
        session: the one under way, if there is one.
    """

    def __init__(self, place: Place) -> None:
        self.session: Session | None = None
        self._place = place
        self._stop = asyncio.Event()
        self._patience = Patience(place.settings.deadline)
        self._manner = Manner(
            live=place.settings.worker_backfill_batch,
            backlog=place.settings.worker_backfill_batch,
            pace=Pace(place.settings.worker_rate),
            patience=self._patience,
            ending=self._stop,
            waited_for=False,
        )

    def stop(self) -> None:
        """Finish the texts in hand, release the others, and have `run` return."""
        self._stop.set()

    async def run(self) -> bool:
        """Embed all that waits; whether everything has its vector now.

        Raises:
            OllamaError: the servers are at fault.
            StoreError: Postgres is, or was away until the deadline.
        """
        done = await until(self._stop, self._work(), lambda: GRACE if self.session else 0.0)
        return bool(done)

    async def _work(self) -> bool:
        await self._patience.call(migrate, self._place.url)
        deadline = self._place.settings.deadline
        async with open_session(self._place, self._manner, deadline) as session:
            if session is None:
                return True
            self.session = session
            others = await session.beside()
            progress = Progress(session, self._patience, self._place.metrics)
            async with progress.reported():
                await self._drain(session, progress)
        complete = progress.is_complete
        for generation in others:
            await fill(self._place, self._manner, deadline, generation)
            complete &= await take_further(self._place, self._manner, generation)
        return complete

    async def _drain(self, session: Session, progress: Progress) -> None:
        while not self._stop.is_set():
            queues = await session.refresh()
            ends = await asyncio.gather(*map(session.drain, queues), return_exceptions=True)
            for error in filter(None, ends):
                raise error  # now that the other queues are empty
            await progress.look()
            if not progress.waiting:
                return
            await asyncio.sleep(LOOK)
