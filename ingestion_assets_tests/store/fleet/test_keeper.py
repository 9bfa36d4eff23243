"""Every fleet here has a session of its own, as every process has."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest

from ingestion_assets.share import Share
from ingestion_assets.store.fleet import Fleet, slots

URL = "http://gpu1:11434"
MOST = 8

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def member(database: str, *, live: bool = False, most: int = MOST) -> AsyncIterator[Share]:
    share = Share()
    async with Fleet(database, {URL: share}, most=most, live=live):
        yield share


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # nobody else tells
            await asyncio.sleep(0.01)


@asynccontextmanager
async def hungry(share: Share) -> AsyncIterator[None]:
    """As long as the block, as many requests as may be are in flight; more would be sent."""

    async def requests() -> None:
        while True:
            async with share.permit(8):
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(requests()) for _ in range(2 * MOST)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def test_nothing_is_sent_before_a_slot_is_had(database):
    async with member(database) as share:
        assert share.granted == 0
        async with asyncio.timeout(30), share.permit(1):
            assert share.in_flight == 1


async def test_one_process_alone_has_all_slots_but_those_kept_for_who_waits(database):
    async with member(database) as share, hungry(share):
        await until(lambda: share.granted == MOST - 1)
        assert not share.guided


async def test_processes_share_a_server_and_never_exceed_its_slots(database):
    async with AsyncExitStack() as stack:
        shares = [await stack.enter_async_context(member(database)) for _ in range(3)]
        for share in shares:
            await stack.enter_async_context(hungry(share))
        highest = 0
        async with asyncio.timeout(30):
            while not all(share.granted and share.guided for share in shares):
                highest = max(highest, sum(share.in_flight for share in shares))
                await asyncio.sleep(0.001)
    assert highest <= MOST


async def test_slots_end_with_the_session_that_held_them(database):
    async with member(database) as first, member(database) as second, hungry(first):
        await until(lambda: first.granted == MOST - 1)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND classid = %s::int::oid AND pid <> %s",
                (slots.key(URL), connection.info.backend_pid),
            )
            async with hungry(second):
                await until(lambda: second.granted > 0)
                await until(lambda: first.granted > 0)  # it has come back


async def test_who_waits_for_a_vector_has_a_slot_while_a_backfill_takes_all_it_may(database):
    async with (
        member(database) as backfill,
        hungry(backfill),
        member(database, live=True) as live,
    ):
        await until(lambda: backfill.granted == MOST - 1)
        async with asyncio.timeout(30), live.permit(1):
            assert live.in_flight == 1
        async with hungry(live):
            await until(lambda: backfill.granted <= MOST - MOST // 4)


async def test_a_server_of_one_request_at_a_time_serves_who_waits_first(database):
    async with (
        member(database, most=1) as backfill,
        hungry(backfill),
        member(database, most=1, live=True) as live,
    ):
        await until(lambda: backfill.granted == 1)
        async with hungry(live):
            await until(lambda: live.granted == 1 and backfill.granted == 0)
        await until(lambda: backfill.granted == 1)


async def test_slots_that_are_not_used_are_given_back(database):
    async with member(database) as first, member(database) as second:
        async with hungry(first):
            await until(lambda: first.granted == MOST - 1)
        async with hungry(second):
            await until(lambda: second.granted == MOST - 1)


async def test_congestion_lowers_what_all_may_send(database):
    async with (
        member(database) as first,
        member(database) as second,
        hungry(first),
        hungry(second),
    ):
        await until(lambda: first.guided and second.guided)
        first.congested(0.5)
        await until(lambda: _refusals(database) == 1)


def _refusals(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM ingestion.servers WHERE refused_at > '-infinity'"
        ).fetchone()
    return row[0] if row else 0


async def test_nothing_is_granted_while_postgres_is_away(database, caplog):
    share = Share()
    async with Fleet("postgresql://127.0.0.1:1/none", {URL: share}, most=MOST, live=False):
        share.want(1)
        await until(lambda: "until Postgres answers" in caplog.text)
        assert share.granted == 0
