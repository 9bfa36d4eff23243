import asyncio

import pytest

from ingestion_assets.share import Share, Tally

pytestmark = pytest.mark.anyio


async def holding(share: Share, until: asyncio.Event) -> None:
    async with share.permit(3):
        await until.wait()


async def test_nobody_is_kept_waiting_where_nobody_keeps_bounds():
    share, done = Share(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(holding(share, done))
        await asyncio.sleep(0)
        assert share.in_flight == 100
        done.set()


async def test_no_more_are_in_flight_than_are_granted():
    share, done = Share(), asyncio.Event()
    share.grant(2)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(holding(share, done))
        await asyncio.sleep(0)
        assert share.in_flight == 2
        share.grant(3)
        await asyncio.sleep(0.01)
        assert share.in_flight == 3
        share.grant(1)
        assert share.in_flight == 3  # what is sent is sent
        done.set()
    assert share.in_flight == 0


async def test_a_turn_that_nobody_waits_for_any_more_is_another_ones():
    share, done = Share(), asyncio.Event()
    share.grant(1)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(holding(share, done))
        await asyncio.sleep(0)
        leaving = group.create_task(holding(share, done))
        patient = group.create_task(holding(share, done))
        await asyncio.sleep(0)
        done.set()
        await asyncio.sleep(0)
        leaving.cancel()
        await patient


async def test_it_tells_what_happened_since_it_was_last_asked():
    share, done = Share(), asyncio.Event()
    share.grant(1)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(holding(share, done))
        await asyncio.sleep(0)
        assert share.starving.is_set()
        assert share.take_tally() == Tally(wanted=2)
        done.set()
    share.congested(0.7)
    share.congested(0.5)
    tally = share.take_tally()
    assert (tally.requests, tally.texts, tally.backoff) == (2, 6, 0.5)
    assert tally.seconds > 0
    assert share.take_tally() == Tally()


async def test_who_is_granted_nothing_wants_it_until_there_is_more():
    share = Share()
    share.grant(0)
    share.want(3)
    assert [share.take_tally().wanted for _ in range(3)] == [3, 3, 3]
    share.grant(1)
    assert [share.take_tally().wanted for _ in range(2)] == [3, 0]


async def test_a_request_that_fails_is_no_measure_of_the_server():
    share = Share()
    with pytest.raises(RuntimeError):
        async with share.permit(1):
            raise RuntimeError
    assert share.take_tally() == Tally(wanted=1)
    assert share.in_flight == 0


async def test_who_listens_hears_of_more():
    share, heard = Share(), []
    share.listen(lambda: heard.append(share.granted))
    for granted in (0, 2, 2, 1, 4):
        share.grant(granted)
    assert heard == [2, 4]
