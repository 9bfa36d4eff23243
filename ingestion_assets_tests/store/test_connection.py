"""psycopg's errors become ours, passwords stay inside, and a partition has one writer."""

import os
import signal
import subprocess
import sys
import time
import traceback

import psycopg
import pytest
from psycopg import errors

from ingestion_assets.errors import ConfigError, IngestionError, StoreError, StoreUnavailableError
from ingestion_assets.postgres_url import libpq_url
from ingestion_assets.store.connection import (
    Connection,
    connect,
    durable,
    partition_lock,
    translated,
)

PSYCOPG_ERRORS = sorted(
    {
        error
        for module in (psycopg, errors)
        for error in vars(module).values()
        if isinstance(error, type) and issubclass(error, psycopg.Error)
    },
    key=lambda error: error.__name__,
)
HOLD_LOCK = """
import sys, time
from ingestion_assets.store.connection import connect, partition_lock
with connect(sys.argv[1]) as connection, partition_lock(connection, "notes/00"):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("error", PSYCOPG_ERRORS)
def test_every_psycopg_error_becomes_a_store_error(error):
    ours = translated(error("what happened"))
    assert isinstance(ours, StoreError)
    assert "what happened" in str(ours)
    assert error.sqlstate is None or error.sqlstate in str(ours)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError,
        errors.ConnectionFailure,
        errors.ConnectionTimeout,
        errors.AdminShutdown,
        errors.CannotConnectNow,
        errors.CrashShutdown,
        errors.TooManyConnections,
        errors.DiskFull,
        errors.DeadlockDetected,
        errors.SerializationFailure,
        errors.LockNotAvailable,
        errors.QueryCanceled,
        errors.UniqueViolation,
        errors.ForeignKeyViolation,
    ],
)
def test_what_passes_is_retryable(error):
    assert translated(error("x")).retryable


@pytest.mark.parametrize(
    "error",
    [
        errors.UndefinedTable,
        errors.SyntaxError,
        errors.InvalidPassword,
        errors.InvalidCatalogName,
        errors.InsufficientPrivilege,
        errors.NotNullViolation,
        errors.DataException,
        errors.FeatureNotSupported,
        errors.ProgramLimitExceeded,
        errors.IndexCorrupted,
        psycopg.ProgrammingError,
        psycopg.DataError,
    ],
)
def test_what_stays_wrong_is_not_retryable(error):
    assert not translated(error("x")).retryable


def test_an_error_without_words_names_its_kind():
    assert "UndefinedTable" in str(translated(errors.UndefinedTable()))


def test_errors_of_the_server_leave_a_connection_as_ours(database):
    with pytest.raises(StoreError, match="does not exist"), connect(database) as connection:
        connection.execute("SELECT * FROM nowhere")


def test_a_connection_that_the_server_ends_is_a_passing_error(database, connection):
    with pytest.raises(StoreUnavailableError), connect(database) as victim:
        _end_and_use(connection, victim)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:se%cret@127.0.0.1:1/db",
        "postgresql://ann:se/cret@127.0.0.1:1/db",
        "postgresql://ann:12/secret@127.0.0.1:1",
        "postgresql://ann:se@cret@127.0.0.1:1/db",
        "mysql://ann:secret@127.0.0.1:1/db",
        "ann:secret@127.0.0.1",
        "host=127.0.0.1 port=1 password='secret",
    ],
)
def test_a_url_that_cannot_be_read_is_a_configuration_error_without_the_password(url):
    with pytest.raises(ConfigError, match="%40") as caught, connect(url):
        pass
    assert not _tells(caught.value, "secret", "cret@", "se%", "se/")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:secret@127.0.0.1:1/db",
        "postgresql+psycopg2://ann:secret@127.0.0.1:1/db",
        "postgresql://ann:se%2Fcret@127.0.0.1:1/db",
        "host=127.0.0.1 port=1 user=ann password=se+cret",
        "postgresql://ann:secret@/db?host=/nowhere/at@all",
    ],
)
def test_a_server_that_is_down_is_a_passing_error_without_the_password(url):
    with pytest.raises(StoreUnavailableError) as caught, connect(url):
        pass
    assert not _tells(caught.value, "secret", "cret")


def test_a_connection_does_not_show_the_password(postgres):
    with connect(_with_password(postgres, "secret")) as connection:
        assert "secret" not in repr(connection)
        with pytest.raises(psycopg.errors.UndefinedTable) as caught:
            connection.execute("SELECT * FROM nowhere")
    assert not _tells(translated(caught.value), "secret")


def test_a_url_overrides_our_defaults(postgres):
    separator = "&" if "?" in postgres else "?"
    with connect(f"{postgres}{separator}application_name=mine&connect_timeout=3") as connection:
        row = connection.execute("SHOW application_name").fetchone()
        assert row == ("mine",)
        assert connection.info.get_parameters()["connect_timeout"] == "3"


def test_only_the_driver_is_cut_from_a_url():
    assert libpq_url("postgresql+psycopg2://a:b+c@h/d") == "postgresql://a:b+c@h/d"
    assert libpq_url("host=h password=b+c") == "host=h password=b+c"


def test_a_partition_has_one_writer(database, connection):
    with partition_lock(connection, "notes/00"), connect(database) as other:
        with (
            pytest.raises(StoreUnavailableError, match="'notes/00'"),
            partition_lock(other, "notes/00"),
        ):
            pass
        with partition_lock(other, "notes/01"):
            pass


def test_a_partition_is_free_after_its_writer_whatever_happened(database, connection):
    with pytest.raises(ZeroDivisionError), partition_lock(connection, "notes/00"):
        raise ZeroDivisionError
    with connect(database) as other, partition_lock(other, "notes/00"):
        pass


def test_a_writer_that_loses_its_connection_tells_that_error(database, connection):
    with (
        pytest.raises(StoreUnavailableError, match="terminating connection"),
        connect(database) as victim,
        partition_lock(victim, "notes/00"),
    ):
        _end_and_use(connection, victim)
    with partition_lock(connection, "notes/00"):
        pass


def test_a_partition_is_free_when_its_writer_is_killed(database, connection):
    command = [sys.executable, "-c", HOLD_LOCK, database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "locked\n"
        with pytest.raises(StoreUnavailableError), partition_lock(connection, "notes/00"):
            pass
        os.kill(writer.pid, signal.SIGKILL)
    _wait_for_lock(connection, "notes/00")


def test_a_durable_transaction_flushes_the_commits_before_it(connection):
    connection.execute("CREATE TABLE numbers (n int)")
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute("INSERT INTO numbers SELECT generate_series(1, 1000)")
        written = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    with durable(connection):
        pass
    row = connection.execute("SELECT pg_current_wal_flush_lsn() >= %s", written).fetchone()
    assert row == (True,)


def _end_and_use(connection: Connection, victim: Connection) -> None:
    connection.execute("SELECT pg_terminate_backend(%s)", (victim.info.backend_pid,))
    victim.execute("SELECT 1")


def _tells(error: IngestionError, *secrets: str) -> bool:
    told = "".join(traceback.format_exception(error)) + repr(error)
    # The traceback quotes this file's own source lines; only what the errors say counts.
    said = [line for line in told.splitlines() if not line.startswith("  ")]
    return any(secret in line for line in said for secret in secrets)


def _with_password(url: str, password: str) -> str:
    return psycopg.conninfo.make_conninfo(url, password=password)


def _wait_for_lock(connection: Connection, key: str) -> None:
    for _ in range(200):
        try:
            with partition_lock(connection, key):
                return
        except StoreUnavailableError:
            time.sleep(0.05)
    pytest.fail(f"{key} is still locked")
