"""Connections that are kept, on the real Postgres."""

import pytest

from ingestion_assets.errors import ConfigError, StoreError, StoreUnavailableError
from ingestion_assets.store.kept import KEPT, KeptConnections


def _backend(kept: KeptConnections) -> int:
    with kept.one() as connection:
        return connection.info.backend_pid


def test_a_connection_is_used_again(database):
    kept = KeptConnections(database)
    assert _backend(kept) == _backend(kept)
    kept.close()


def test_users_at_the_same_time_get_one_each_and_few_are_kept(database):
    kept = KeptConnections(database)
    with kept.one() as a, kept.one() as b, kept.one() as c:
        together = [a, b, c]
    assert sum(not connection.closed for connection in together) == KEPT
    kept.close()
    assert all(connection.closed for connection in together)


def test_one_that_the_server_closed_is_replaced_unnoticed(database, connection):
    kept = KeptConnections(database)
    old = _backend(kept)
    connection.execute("SELECT pg_terminate_backend(%s, 10000)", (old,))
    assert _backend(kept) != old
    kept.close()


def test_one_that_failed_is_not_used_again_and_the_error_is_ours(database):
    kept = KeptConnections(database)
    old = _backend(kept)
    with pytest.raises(StoreError, match="nowhere"), kept.one() as connection:
        connection.execute("SELECT * FROM nowhere")
    assert _backend(kept) != old
    kept.close()


def test_no_server_is_retryable_and_its_password_is_not_said():
    kept = KeptConnections("postgresql://u:hunter2@127.0.0.1:1/d")
    with pytest.raises(StoreUnavailableError) as error, kept.one():
        pass
    assert "hunter2" not in str(error.value)
    with pytest.raises(ConfigError):
        KeptConnections("postgresql://u:p@ss@h/d")
