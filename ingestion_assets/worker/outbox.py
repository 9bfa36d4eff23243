"""What is embedded in, once its server is trusted; the commits of it out."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np

from ingestion_assets.changes import Vectors
from ingestion_assets.embedding.delivery import Embedded

FULL = 4  # outcomes that wait for a commit, beyond which nothing more should be embedded
ROWS = 1_000  # of a commit, about


@dataclass(frozen=True, slots=True)
class _Waiting:
    embedded: Embedded
    started: float


class Outbox:
    """Stores in the background, as much at once as waits; putting never waits.

    Args:
        store: commits vectors.
        stored: told how many seconds every outcome took, once it is committed.

    Attributes:
        room: clear while enough waits for its commit; set for good when nothing is stored any more.
    """

    def __init__(
        self, store: Callable[[Vectors], Awaitable[None]], stored: Callable[[float], None]
    ) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self._store, self._stored = store, stored
        self._waiting: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._ended = False

    def put(self, embedded: Embedded, started: float) -> None:
        """Have it stored as soon as its server has shown that its answers may be.

        Args:
            started: when its batch was claimed, by the clock of `perf_counter`.
        """
        embedded.probation.hold(partial(self._let_go, _Waiting(embedded, started)))

    def close(self) -> None:
        """Nothing more will come."""
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Store until it is closed."""
        try:
            while load := await self._load():
                await self._store(_joined([waiting.embedded for waiting in load]))
                for waiting in load:
                    self._stored(perf_counter() - waiting.started)
        finally:
            self._ended = True
            self.room.set()

    def _let_go(self, waiting: _Waiting) -> None:
        self._waiting.put_nowait(waiting)
        if self._waiting.qsize() >= FULL and not self._ended:
            self.room.clear()

    async def _load(self) -> list[_Waiting]:
        """All that waits, or about a commit's worth; nothing once it is closed and empty."""
        load: list[_Waiting] = []
        rows = 0
        while not load or (rows < ROWS and not self._waiting.empty()):
            waiting = await self._waiting.get()
            if waiting is None:
                self.close()  # for the next load to find
                break
            load.append(waiting)
            rows += len(waiting.embedded.texts)
        if self._waiting.qsize() < FULL:
            self.room.set()
        return load


def _joined(parts: list[Embedded]) -> Vectors:
    texts = [text for part in parts for text in part.texts]
    return Vectors(
        [text.chunk_id for text in texts],
        [text.content_hash for text in texts],
        np.concatenate([part.matrix for part in parts]),
    )
