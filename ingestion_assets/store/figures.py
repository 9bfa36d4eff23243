"""What a process that is scraped tells of the database: its state, and what runs have counted."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Iterator

import psycopg
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ingestion_assets.errors import StoreError
from ingestion_assets.metrics import Figure, families
from ingestion_assets.store import counters, freshness
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import active
from ingestion_assets.store.index import vector_index

FRESH = 30.0  # seconds that nobody asks again: several may scrape
STALE = 90.0  # seconds after which figures are dropped, if no newer ones come
PATIENCE = 4.0  # seconds that a scrape waits for them; what comes later is for the next one
_TIMEOUT = "SET statement_timeout = '3s'"

_STATES = ("pending", "processing", "failed", "quarantined")
_LOOKS = """
SELECT source, extract(epoch FROM max(looked_at))::float8,
       extract(epoch FROM min(looked_at))::float8
FROM ingestion.looks GROUP BY source ORDER BY source
"""
_UNREAD = """
SELECT s.name, count(u.uri) FROM ingestion.sources s
LEFT JOIN ingestion.unread u ON u.source = s.name GROUP BY s.name ORDER BY s.name
"""
_RECALL = re.compile(r'"recall": ?([0-9.]+)')


class DatabaseFigures(Collector):
    """Asks the database for what no process has counted, and is scraped with the rest.

    What cannot be asked, or takes too long, is absent: it must not be reported as it was.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._found: list[Figure] = []
        self._asked = float("-inf")
        self._asking: asyncio.Task[list[Figure]] | None = None

    def collect(self) -> Iterable[Metric]:
        """What was found last."""
        return families(self._found)

    async def refresh(self) -> None:
        """Ask, unless that was just done; one that hangs is not asked beside itself."""
        if self._asking is None:
            if time.monotonic() - self._asked < FRESH:
                return
            self._asking = asyncio.create_task(asyncio.to_thread(read, self._url))
        asking = self._asking
        await asyncio.wait([asking], timeout=PATIENCE)
        if asking.done() and self._asking is asking:
            self._asking, self._asked = None, time.monotonic()
            self._found = [] if isinstance(asking.exception(), StoreError) else asking.result()
        elif time.monotonic() - self._asked > STALE:
            self._found = []


def read(url: str) -> list[Figure]:
    """All figures that the database answers in time.

    Raises:
        StoreError: it does not answer, or was never migrated.
    """
    found: list[Figure] = []
    with connect(url) as connection:
        connection.execute(_TIMEOUT)
        for question in _QUESTIONS:
            try:
                found += question(connection)
            except psycopg.errors.QueryCanceled:
                continue  # absent, as everything that cannot be asked
    return found


def _size(connection: Connection) -> Iterator[Figure]:
    for (size,) in connection.execute("SELECT pg_database_size(current_database())"):
        yield Figure("ingestion_database_size_bytes", (), size)


def _runs(connection: Connection) -> Iterator[Figure]:
    for source, latest, stalest in connection.execute(_LOOKS):
        yield Figure("ingestion_last_run_timestamp_seconds", (source,), latest)
        yield Figure("ingestion_stalest_run_timestamp_seconds", (source,), stalest)


def _unread(connection: Connection) -> Iterator[Figure]:
    for source, documents in connection.execute(_UNREAD):
        yield Figure("ingestion_unread_documents", (source,), documents)


def _waiting(connection: Connection) -> Iterator[Figure]:
    found = {row.source: row for row in freshness.waiting(connection)}
    for (source,) in connection.execute("SELECT name FROM ingestion.sources ORDER BY name"):
        row = found.get(source, freshness.Waiting(source, 0, 0, 0, 0, 0.0))
        yield Figure("ingestion_oldest_pending_seconds", (source,), row.oldest_seconds)
        for state in _STATES:
            yield Figure("ingestion_texts_waiting", (source, state), getattr(row, state))


def _freshness(connection: Connection) -> Iterator[Figure]:
    for row in freshness.latencies(connection):
        of = (row.source, row.window)
        yield Figure("ingestion_freshness_documents", of, row.documents)
        for since in ("seen", "changed"):
            for percentile in ("50", "95"):
                seconds = getattr(row, f"{since}_p{percentile}")
                if seconds is not None:
                    labels = (row.source, since, row.window, percentile)
                    yield Figure("ingestion_freshness_seconds", labels, seconds)


def _recall(connection: Connection) -> Iterator[Figure]:
    generation = active(connection)
    if generation is None:
        return
    index = f'ingestion."{vector_index(generation)}"'
    note = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (index,))
    for (comment,) in note:
        if measured := _RECALL.search(comment or ""):
            labels = (str(generation.generation_id),)
            yield Figure("ingestion_recall_ratio", labels, float(measured[1]))


_QUESTIONS: tuple[Callable[[Connection], Iterable[Figure]], ...] = (
    _size, counters.counted, _runs, _unread, _waiting, _freshness, _recall,
)  # fmt: skip
