"""Documents of a partition: what is known of them, and their changes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from psycopg import Cursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from ingestion_assets.changes import Changes
from ingestion_assets.documents.document import Document, Known
from ingestion_assets.store.connection import Connection, durable

_UPSERT = """
INSERT INTO ingestion.documents (document_id, source, partition_key, uri, media_type, title, text,
    content_hash, metadata, domain, category, bytes, modified_at, ingested_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (document_id) DO UPDATE SET
    partition_key = EXCLUDED.partition_key, media_type = EXCLUDED.media_type,
    title = EXCLUDED.title, text = EXCLUDED.text, content_hash = EXCLUDED.content_hash,
    metadata = EXCLUDED.metadata, domain = EXCLUDED.domain, category = EXCLUDED.category,
    bytes = EXCLUDED.bytes, modified_at = EXCLUDED.modified_at, ingested_at = EXCLUDED.ingested_at
"""
# As `scope.lock` does; the deletion itself takes the chunks in no order.
_LOCK = """
SELECT FROM ingestion.chunks WHERE document_id = ANY(%s) ORDER BY chunk_id FOR UPDATE
"""


def known(connection: Connection, partition_key: str) -> dict[str, Known]:
    """What is stored of each document of a partition, by uri."""
    rows = connection.execute(
        "SELECT uri, document_id, content_hash, bytes, modified_at, ingested_at,"
        " metadata->>'validator'"
        " FROM ingestion.documents WHERE partition_key = %s",
        (partition_key,),
        binary=True,
    )
    return {uri: Known(*rest) for uri, *rest in rows}


def listing(
    connection: Connection, partition_keys: Sequence[str]
) -> Iterator[tuple[str, int, datetime, str | None, bytes]]:
    """Uri, size, time, validator and content hash of every document of some partitions."""
    rows = connection.execute(
        "SELECT uri, bytes, modified_at, metadata->>'validator', content_hash"
        " FROM ingestion.documents WHERE partition_key = ANY(%s)",
        (list(partition_keys),),
        binary=True,
    )
    yield from rows


def elsewhere(
    connection: Connection, source: str, partition_key: str, folders: Sequence[str]
) -> Counter[str]:
    """Documents of a source's other partitions by the ending of their uris, as `.md`.

    An archive counts as one, whatever is in it.

    Args:
        folders: that end with a slash; what lies below them is left out.
    """
    rows = connection.execute(
        "SELECT coalesce(substring(uri from '\\.[^./]*$'), ''), count(*) FROM"
        " (SELECT DISTINCT regexp_replace(uri, '(?i)(\\.zip)!/.*$', '\\1') AS uri"
        " FROM ingestion.documents"
        " WHERE source = %s AND partition_key <> %s AND NOT uri ^@ ANY(%s)) AS whole GROUP BY 1",
        (source, partition_key, list(folders)),
    )
    return Counter(dict(rows))


def write(connection: Connection, changes: Changes[Document]) -> None:
    """Write one batch of changes in one transaction.

    A changed document keeps its row and its chunks, which stay searchable until their
    replacements have vectors; one that is gone takes its chunks and vectors with it.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        _upsert(cursor, changes)
        if changes.gone:
            gone = (list(changes.gone),)
            cursor.execute(_LOCK, gone)
            cursor.execute("DELETE FROM ingestion.documents WHERE document_id = ANY(%s)", gone)


def _upsert(cursor: Cursor[TupleRow], changes: Changes[Document]) -> None:
    cursor.executemany(
        _UPSERT,
        [
            (
                d.document_id,
                d.source,
                d.partition_key,
                d.uri,
                d.media_type,
                d.title,
                d.text,
                d.content_hash,
                Jsonb(dict(d.metadata)),
                d.domain,
                d.category,
                d.bytes,
                d.modified_at,
                d.ingested_at,
            )
            for d in changes.rows
        ],
    )


def finish(connection: Connection, partition_key: str) -> int:
    """Make the partition's commits durable, and count its documents."""
    with durable(connection):
        row = connection.execute(
            "SELECT count(*) FROM ingestion.documents WHERE partition_key = %s", (partition_key,)
        ).fetchone()
    return int(row[0]) if row else 0
