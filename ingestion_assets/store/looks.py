"""When a partition was last compared with its documents, and which could not be read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection

_LOOKED = """
INSERT INTO ingestion.looks (partition_key, source, looked_at) VALUES (%s, %s, now())
ON CONFLICT (partition_key) DO UPDATE SET looked_at = EXCLUDED.looked_at
"""
# A folder that cannot be read fails in every partition, and belongs to the latest one.
_UNREAD = """
INSERT INTO ingestion.unread (source, uri, partition_key, error_class, error, failed_at)
VALUES (%s, %s, %s, %s, %s, now())
ON CONFLICT (source, uri) DO UPDATE SET partition_key = EXCLUDED.partition_key,
    error_class = EXCLUDED.error_class, error = EXCLUDED.error, failed_at = EXCLUDED.failed_at
"""
_LIST = """
SELECT source, uri, error_class, error, failed_at FROM ingestion.unread
WHERE %(source)s::text IS NULL OR source = %(source)s
ORDER BY source, uri LIMIT %(limit)s
"""

_MOVE = "UPDATE ingestion.unread SET partition_key = %s WHERE (source, uri) = (%s, %s)"


@dataclass(frozen=True, slots=True)
class Unread:
    """A document, or a folder with a slash at the end, that could not be read, and why."""

    source: str
    uri: str
    error_class: str
    error: str
    failed_at: datetime


def record(
    connection: Connection, partition_key: str, unread: Iterable[tuple[str, str, str]]
) -> None:
    """Note that a partition was compared with its documents just now.

    Args:
        unread: uri, class of error and message of everything that could not be read.
    """
    source = partition_key.partition("/")[0]
    rows = [(source, uri, partition_key, name, error) for uri, name, error in unread]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_LOOKED, (partition_key, source))
        cursor.execute("DELETE FROM ingestion.unread WHERE partition_key = %s", (partition_key,))
        cursor.executemany(_UNREAD, sorted(rows))  # in one order, so that two runs cannot deadlock


def looked_at(connection: Connection, partition_keys: Sequence[str]) -> dict[str, datetime]:
    """When partitions were last compared with their documents, if they ever were."""
    rows = connection.execute(
        "SELECT partition_key, looked_at FROM ingestion.looks WHERE partition_key = ANY(%s)",
        (list(partition_keys),),
    )
    return dict(rows)


def unread(
    connection: Connection, source: str | None = None, limit: int | None = None
) -> Sequence[Unread]:
    """What could not be read at the latest look at its partition, in order.

    Args:
        source: its name; none means all sources.
        limit: how many at most; none means all.
    """
    with connection.cursor(row_factory=class_row(Unread)) as cursor:
        return cursor.execute(_LIST, {"source": source, "limit": limit}).fetchall()


def move(connection: Connection, source: str, key_of: Callable[[str], str]) -> None:
    """Let a source's unread documents follow into other partitions, which nobody has looked at."""
    connection.execute("DELETE FROM ingestion.looks WHERE source = %s", (source,))
    moved = [(key_of(found.uri), source, found.uri) for found in unread(connection, source)]
    with connection.cursor() as cursor:
        cursor.executemany(_MOVE, moved)
