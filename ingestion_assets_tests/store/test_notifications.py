"""LISTEN on the real Postgres."""

import pytest

from ingestion_assets.errors import StoreUnavailableError
from ingestion_assets.store.notifications import listening


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


async def test_payloads_come_in_order_from_the_channels_listened_to(database, connection):
    async with listening(database, ["a", 'q"; DROP']) as notifications:
        for channel, payload in (("a", "1"), ("b", "2"), ('q"; DROP', "3")):
            connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))
        assert [await anext(notifications) for _ in range(2)] == ["1", "3"]


async def test_a_lost_connection_is_retryable(database, connection):
    async def listen() -> None:
        async with listening(database, ["a"]) as notifications:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await anext(notifications)

    with pytest.raises(StoreUnavailableError):
        await listen()
