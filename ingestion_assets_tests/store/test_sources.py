"""Sources are stored as they are configured, and never change the buckets of stored documents."""

import pytest
from psycopg.rows import TupleRow

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.sources import register
from ingestion_assets_tests.store import rows


def _stored(connection: Connection) -> TupleRow | None:
    return connection.execute("SELECT kind, buckets, config FROM ingestion.sources").fetchone()


def test_a_source_is_stored_as_configured_last(connection):
    register(connection, "notes", "files", 4, {"root": "a"})
    register(connection, "notes", "files", 8, {"root": "b", "include": ["*.md"]})
    assert _stored(connection) == ("files", 8, {"root": "b", "include": ["*.md"]})


def test_buckets_cannot_change_under_stored_documents(connection):
    rows.store(connection, "a.md", ["one"])
    register(connection, "notes", "files", 1, {"root": "b"})
    with pytest.raises(ConfigError, match=r"buckets: 2.*set buckets back to 1"):
        register(connection, "notes", "files", 2, {"root": "c"})
    assert _stored(connection) == ("files", 1, {"root": "b"})
