"""Work in, its result out, unless it is told to stop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

GRACE = 6.0  # seconds for the texts in hand; with what follows it has to fit into ten

T = TypeVar("T")


async def until(
    stop: asyncio.Event, work: Coroutine[Any, Any, T], grace: Callable[[], float]
) -> T | None:
    """Run the work to its end; none if it was still at it so many seconds after `stop` was set.

    Args:
        grace: asked for the seconds when `stop` is set; the work is cancelled when they are over.
    """
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await asyncio.wait({working}, timeout=grace())
        return working.result() if working.done() else None
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
