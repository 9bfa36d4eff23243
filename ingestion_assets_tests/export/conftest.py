"""A connection to a migrated database of the test's own."""

from collections.abc import Iterator

import pytest

from ingestion_assets.store.connection import Connection, connect


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection
