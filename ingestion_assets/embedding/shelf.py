"""What was embedded in, loads for the store out."""

import asyncio
from collections.abc import AsyncGenerator

import numpy as np

from ingestion_assets.changes import Vectors
from ingestion_assets.embedding.delivery import Embedded

STORE_ROWS = 5_000
STORE_BYTES = 8 * 1024 * 1024  # half a dozen copies of a load are alive at times
STORE_SECONDS = 1.0  # so that progress is committed on a slow server too


class Shelf:
    """What is embedded and not yet taken; `room` is clear while that is a full load.

    Putting never waits, so that nothing embedded is lost when lanes are stopped.

    Args:
        dimensions: of the vectors.
    """

    def __init__(self, dimensions: int) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self._limit = max(min(STORE_ROWS, STORE_BYTES // (4 * dimensions)), 1)
        self._rows = 0
        self._hurried = self._closed = False
        self._parts: asyncio.Queue[Embedded | None] = asyncio.Queue()  # none: look again

    def put(self, part: Embedded) -> None:
        """Add what is embedded."""
        self._parts.put_nowait(part)
        self._rows += len(part.texts)
        if self._rows >= self._limit:
            self.room.clear()

    def hurry(self) -> None:
        """Have all be taken as it comes: the end is near, when only the last part shall be left."""
        self._hurried = True
        self._parts.put_nowait(None)

    def close(self) -> None:
        """Have the loads end with what is there."""
        self._closed = True
        self._parts.put_nowait(None)

    async def loads(self) -> AsyncGenerator[Vectors, None]:
        """Loads of about the limit, or of what there is when the first part gets old."""
        while not self._is_over:
            load: list[Embedded] = []
            rows, due = 0, None
            try:
                while not self._is_enough(rows):
                    async with asyncio.timeout_at(due):
                        part = await self._parts.get()
                    if part is None:
                        continue
                    due = due or asyncio.get_running_loop().time() + STORE_SECONDS
                    load.append(part)
                    rows += self._taken(part)
            except TimeoutError:
                pass
            if load:
                yield _joined(load)

    @property
    def _is_over(self) -> bool:
        return self._closed and self._parts.empty()

    def _is_enough(self, rows: int) -> bool:
        hurried = self._hurried and rows > 0 and self._parts.empty()
        return rows >= self._limit or hurried or self._is_over

    def _taken(self, part: Embedded) -> int:
        rows = len(part.texts)
        self._rows -= rows
        if self._rows < self._limit:
            self.room.set()
        return rows


def _joined(parts: list[Embedded]) -> Vectors:
    """The parts as one, which are let go: whoever asked still refers to their list."""
    texts = [text for part in parts for text in part.texts]
    matrix = np.concatenate([part.matrix for part in parts])
    parts.clear()
    return Vectors([text.chunk_id for text in texts], [text.content_hash for text in texts], matrix)
