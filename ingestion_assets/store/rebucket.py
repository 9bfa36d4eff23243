"""A source's documents and chunks into other partitions; nothing of them is made anew."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ingestion_assets.store import looks
from ingestion_assets.store.connection import Connection, partition_lock

_READ = "SELECT document_id, uri FROM ingestion.documents WHERE source = %s"
_MOVED = "CREATE TEMPORARY TABLE moved (document_id uuid, partition_key text) ON COMMIT DROP"
_COPY = "COPY moved FROM STDIN (FORMAT BINARY)"
_MOVE_DOCUMENTS = """
UPDATE ingestion.documents d SET partition_key = moved.partition_key
FROM moved WHERE d.document_id = moved.document_id AND d.partition_key <> moved.partition_key
"""
_MOVE_CHUNKS = """
UPDATE ingestion.chunks c SET partition_key = moved.partition_key
FROM moved WHERE c.document_id = moved.document_id AND c.partition_key <> moved.partition_key
"""
_SET = "UPDATE ingestion.sources SET buckets = %s WHERE name = %s"
_PAGE = 5_000  # documents in memory at once


def rebucket(
    connection: Connection,
    source: str,
    buckets: int,
    *,
    keys: Sequence[str],
    key_of: Callable[[str], str],
) -> int:
    """Move a source's documents in one transaction; returns how many changed their partition.

    Args:
        buckets: how many there are from now on.
        keys: the partitions of before and of afterwards; nothing else may be writing them.
        key_of: the partition that the document of a uri belongs to.

    Raises:
        StoreUnavailableError: a run is writing one of the partitions; retryable.
    """
    with ExitStack() as locks:
        for key in keys:
            locks.enter_context(partition_lock(connection, key))
        with connection.transaction():
            _list_moves(connection, source, key_of)
            moved = connection.execute(_MOVE_DOCUMENTS).rowcount
            connection.execute(_MOVE_CHUNKS)
            looks.move(connection, source, key_of)
            connection.execute(_SET, (buckets, source))
    return moved


def stored_buckets(connection: Connection, source: str) -> int | None:
    """How many buckets a source's documents are stored under; none if it was never ingested."""
    row = connection.execute(
        "SELECT buckets FROM ingestion.sources WHERE name = %s", (source,)
    ).fetchone()
    return int(row[0]) if row else None


def _list_moves(connection: Connection, source: str, key_of: Callable[[str], str]) -> None:
    connection.execute(_MOVED)
    with connection.cursor(name="documents", binary=True) as documents:
        documents.itersize = _PAGE
        documents.execute(_READ, (source,))
        while page := documents.fetchmany(_PAGE):
            with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                copy.set_types(["uuid", "text"])
                for document_id, uri in page:
                    copy.write_row((document_id, key_of(uri)))
