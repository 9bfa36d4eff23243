"""What was embedded in, loads for the store out."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from uuid import UUID

import numpy as np

from ingestion_assets.changes import Vectors
from ingestion_assets.embedding.delivery import Embedded

STORE_ROWS = 5_000
STORE_BYTES = 8 * 1024 * 1024
STORE_SECONDS = 1.0  # so that progress is committed on a slow server too


class Shelf:
    """What is embedded and not yet taken; `room` is clear while that is a full load.

    Putting never waits, so that nothing embedded is lost when lanes are stopped. It copies, so
    that an answer lives no longer than its request.

    Args:
        dimensions: of the vectors.
    """

    def __init__(self, dimensions: int) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self._dimensions = dimensions
        self._limit = max(min(STORE_ROWS, STORE_BYTES // (4 * dimensions)), 1)
        self._loads: deque[_Load] = deque()
        self._hurried = self._closed = False
        self._changed = asyncio.Event()

    def put(self, part: Embedded) -> None:
        """Add what is embedded; a part without any text has a load be taken soon."""
        start = 0
        while True:
            if not self._loads or self._loads[-1].is_full:
                self._loads.append(_Load(self._limit, self._dimensions))
            start = self._loads[-1].add(part, start)
            if start >= len(part.texts):
                break
        if self._loads[0].is_full:
            self.room.clear()
        self._changed.set()

    def hurry(self) -> None:
        """Have all be taken as it comes: the end is near, when only the last part shall be left."""
        self._hurried = True
        self._changed.set()

    def close(self) -> None:
        """Have the loads end with what is there."""
        self._closed = True
        self._changed.set()

    async def loads(self) -> AsyncGenerator[Vectors, None]:
        """Loads of the limit, or of what there is when the first part gets old."""
        while self._loads or not self._closed:
            self._changed.clear()
            if self._loads and (self._hurried or self._closed or self._loads[0].is_due):
                load = self._loads.popleft()
                if not (self._loads and self._loads[0].is_full):
                    self.room.set()
                yield load.vectors()
                del load  # or it would be alive while the next one is waited for
            else:
                await self._wait()

    async def _wait(self) -> None:
        due = self._loads[0].due if self._loads else None
        try:
            async with asyncio.timeout_at(due):
                await self._changed.wait()
        except TimeoutError:
            pass


class _Load:
    """Rows of vectors, one after another into one matrix."""

    def __init__(self, rows: int, dimensions: int) -> None:
        self.due = asyncio.get_running_loop().time() + STORE_SECONDS
        self._ids: list[UUID] = []
        self._hashes: list[bytes] = []
        self._matrix = np.empty((rows, dimensions), np.float32)  # what is not filled costs nothing

    @property
    def is_full(self) -> bool:
        return len(self._ids) == len(self._matrix)

    @property
    def is_due(self) -> bool:
        return self.is_full or asyncio.get_running_loop().time() >= self.due

    def add(self, part: Embedded, start: int) -> int:
        """Take of a part, from a row on, what there is room for; the row after it."""
        row = len(self._ids)
        texts = part.texts[start : start + len(self._matrix) - row]
        end = start + len(texts)
        self._matrix[row : row + len(texts)] = part.matrix[start:end]
        self._ids += [text.chunk_id for text in texts]
        self._hashes += [text.content_hash for text in texts]
        return end

    def vectors(self) -> Vectors:
        return Vectors(self._ids, self._hashes, self._matrix[: len(self._ids)])
