import asyncio

import pytest

from ingestion_assets.worker.stopping import until


async def _answer() -> str:
    await asyncio.sleep(0)
    return "done"


async def test_work_that_ends_by_itself_gives_its_result():
    assert await until(asyncio.Event(), _answer(), lambda: 0) == "done"


async def test_an_error_of_the_work_is_raised():
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await until(asyncio.Event(), fail(), lambda: 0)


async def test_work_may_finish_after_the_stop_within_its_grace():
    stop = asyncio.Event()
    stop.set()
    assert await until(stop, _answer(), lambda: 30) == "done"


async def test_work_without_an_end_is_cancelled_and_cleans_up_first():
    stop, cleaned = asyncio.Event(), asyncio.Event()

    async def forever() -> None:
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    await until(stop, forever(), lambda: 0)
    assert cleaned.is_set()
