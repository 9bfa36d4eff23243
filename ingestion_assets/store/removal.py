"""A source that is no longer wanted in, nothing of it left behind."""

from contextlib import ExitStack

from ingestion_assets.changes import Changes
from ingestion_assets.store import documents
from ingestion_assets.store.connection import Connection, partition_lock

_KEYS = """
SELECT DISTINCT partition_key FROM ingestion.documents WHERE source = %s ORDER BY partition_key
"""
_PAGE = 1_000  # documents of a transaction


def remove(connection: Connection, name: str) -> int:
    """Delete a source with its documents, their chunks and vectors; returns how many documents.

    It is done in many small transactions: when it is interrupted, call it again.

    Raises:
        StoreUnavailableError: a run is writing one of the partitions; retryable.
    """
    keys = [key for (key,) in connection.execute(_KEYS, (name,))]
    removed = 0
    with ExitStack() as locks:
        for key in keys:
            locks.enter_context(partition_lock(connection, key))
        for key in keys:
            ids = [known.document_id for known in documents.known(connection, key).values()]
            for start in range(0, len(ids), _PAGE):
                documents.write(connection, Changes(gone=ids[start : start + _PAGE]))
            removed += len(ids)
        connection.execute("DELETE FROM ingestion.sources WHERE name = %s", (name,))
    return removed
