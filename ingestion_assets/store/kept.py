"""A URL in, connections that are kept for the next call out."""

import select
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ingestion_assets.postgres_url import parameters
from ingestion_assets.store.connection import Connection, translated

KEPT = 2  # connections; more than that are closed after use


class KeptConnections:
    """Connections for many short calls: opening one costs more than most calls do.

    Several threads may use it at once, each gets a connection of its own.
    """

    def __init__(self, url: str) -> None:
        self._options = parameters(url)
        self._idle: list[Connection] = []

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """An autocommit connection, as `connect` opens it.

        Raises:
            StoreUnavailableError: no connection, or one that was lost. Retryable.
            StoreError: anything else that Postgres refuses.
        """
        try:
            connection = self._idle_one() or psycopg.connect(autocommit=True, **self._options)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._keep(connection)
        except psycopg.Error as exc:
            raise translated(exc) from exc

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _idle_one(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not _is_lost(connection):
                return connection
            connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < KEPT and not connection.closed:
            self._idle.append(connection)
        else:
            connection.close()


def _is_lost(connection: Connection) -> bool:
    """Whether the server has something to say although nothing was asked: goodbye."""
    return bool(select.select([connection], [], [], 0)[0])
