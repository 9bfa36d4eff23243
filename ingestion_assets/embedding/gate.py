"""Who wants a runner for itself in, in its turn out: nothing else is under way then."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class Gate:
    """Counts what is under way, and closes for one that has to be alone.

    Attributes:
        texts: under way now.
    """

    def __init__(self) -> None:
        self.texts = 0
        self._alone = asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def closed(self) -> bool:
        """Whether somebody is, or waits to be, alone."""
        return self._alone.locked()

    def enter(self, texts: int) -> None:
        """Count texts under way; the caller has seen that the gate is open."""
        self.texts += texts
        self._empty.clear()

    def leave(self, texts: int) -> None:
        """Count them out again."""
        self.texts -= texts
        if not self.texts:
            self._empty.set()

    async def passed(self) -> None:
        """Wait until the gate is open, and count one text under way."""
        async with self._alone:
            self.enter(1)

    @contextmanager
    def leaving(self, texts: int) -> Iterator[None]:
        """Count texts out at the end, however it comes."""
        try:
            yield
        finally:
            self.leave(texts)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Close the gate, and wait until all that is under way has ended."""
        async with self._alone:
            await self._empty.wait()
            yield
