"""A pool lends living connections, and its errors are ours."""

import asyncio

import psycopg
import pytest

from ingestion_assets.errors import ConfigError, StoreError, StoreUnavailableError
from ingestion_assets.store.pool import borrowed, open_pool


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_connection_that_was_cut_is_replaced(database):
    async with open_pool(database) as pool:
        async with borrowed(pool) as connection:
            pid = connection.info.backend_pid
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        async with borrowed(pool) as connection:
            assert connection.info.backend_pid != pid


async def test_no_free_connection_in_time_is_an_error_that_passes(database):
    async with open_pool(database, timeout=0.1) as pool, borrowed(pool):
        with pytest.raises(StoreUnavailableError):
            async with borrowed(pool):
                pass


async def test_what_postgres_refuses_is_typed(database):
    async with open_pool(database) as pool:
        with pytest.raises(StoreError, match="nowhere"):
            async with borrowed(pool) as connection:
                await connection.execute("SELECT FROM nowhere")
        async with borrowed(pool) as connection:
            assert connection.autocommit


async def test_so_many_work_at_once_and_no_more(database):
    most = now = 0

    async def work() -> None:
        nonlocal most, now
        async with borrowed(pool) as connection:
            now += 1
            most = max(most, now)
            await connection.execute("SELECT pg_sleep(0.01)")
            now -= 1

    async with open_pool(database, largest=3) as pool:
        await asyncio.gather(*(work() for _ in range(12)))
    assert most == 3


def test_a_url_that_cannot_be_read_is_refused_without_its_password():
    with pytest.raises(ConfigError) as caught:
        open_pool("postgresql://u:hunter2@x@h/d")
    assert "hunter2" not in str(caught.value)
