"""Chunks of a partition: documents that need chunking, what is stored of them, and the changes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.reconcile import Chunked, StoredChunk, StoredDocument, chunked_as
from ingestion_assets.documents.document import pages
from ingestion_assets.store.connection import Connection, durable
from ingestion_assets.store.scope import lock

_PAGE = 32  # documents whose text is in memory at once

_UPDATE = """
UPDATE ingestion.chunks SET ordinal = %s, heading = %s, content_hash = %s, tokens = %s,
    start_offset = %s, end_offset = %s, context = %s, chunker = %s, superseded = false
WHERE chunk_id = %s
"""
_COPY = """
COPY ingestion.chunks (chunk_id, document_id, partition_key, ordinal, heading, text, content_hash,
    tokens, start_offset, end_offset, context, chunker) FROM STDIN (FORMAT BINARY)
"""
_COPY_TYPES = [
    "uuid",
    "uuid",
    "text",
    "int4",
    "text",
    "text",
    "bytea",
    "int4",
    "int4",
    "int4",
    "text",
    "text",
]


def unchunked(
    connection: Connection,
    partition_key: str,
    chunker: str,
    prefix: str | None,
    *,
    everything: bool = False,
) -> Iterator[StoredDocument]:
    """Documents whose stored chunks are not what this chunker makes of their present text.

    Args:
        everything: all documents, whatever is stored of them.
    """
    due = outdated(connection, partition_key, chunker, everything=everything)
    for start in range(0, len(due), _PAGE):
        page = connection.execute(
            "SELECT document_id, partition_key, media_type, title, text, content_hash,"
            " metadata -> 'pages' FROM ingestion.documents WHERE document_id = ANY(%s)",
            (due[start : start + _PAGE],),
            binary=True,
        )
        for document_id, key, media_type, title, text, content_hash, offsets in page:
            yield StoredDocument(
                document_id, key, media_type, title, text, content_hash, prefix, pages(offsets)
            )


def outdated(
    connection: Connection, partition_key: str, chunker: str, *, everything: bool = False
) -> list[UUID]:
    """Documents as `unchunked` finds them, by id and in order."""
    rows = connection.execute(
        "SELECT document_id, content_hash, chunked_as FROM ingestion.documents"
        " WHERE partition_key = %s ORDER BY document_id",
        (partition_key,),
        binary=True,
    )
    return [i for i, hashed, done in rows if everything or done != chunked_as(hashed, chunker)]


def stored(connection: Connection, document_ids: Sequence[UUID]) -> dict[UUID, list[StoredChunk]]:
    """The present chunks of some documents, by document."""
    rows = connection.execute(
        "SELECT document_id, chunk_id, ordinal, heading, content_hash, start_offset, end_offset"
        " FROM ingestion.chunks WHERE document_id = ANY(%s) AND NOT superseded",
        (list(document_ids),),
        binary=True,
    )
    chunks = defaultdict(list)
    for document_id, *rest in rows:
        chunks[document_id].append(StoredChunk(*rest))
    return chunks


def write(connection: Connection, chunked: Chunked) -> None:
    """Write some documents' new chunks, and that they are chunked, in one transaction.

    Chunks that are gone from their document stay searchable: `embeddings.finish` deletes them
    when their replacements have vectors.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        touched = (chunk.chunk_id for chunk in (*chunked.moved, *chunked.new))
        # Among the new ones may be some that were superseded earlier, and are now back.
        present = lock(connection, [*chunked.gone, *touched])
        cursor.execute(
            "UPDATE ingestion.chunks SET superseded = true WHERE chunk_id = ANY(%s)",
            (list(chunked.gone),),
        )
        back = [c for c in chunked.new if c.chunk_id in present]
        _update(cursor, chunked, [*chunked.moved, *back])
        _copy(cursor, chunked, [c for c in chunked.new if c.chunk_id not in present])
        cursor.executemany(
            "UPDATE ingestion.documents SET chunked_as = %s WHERE document_id = %s",
            [(fingerprint, document_id) for document_id, fingerprint in chunked.documents],
        )


def finish(connection: Connection, partition_key: str) -> int:
    """Make the partition's commits durable, and count its chunks."""
    with durable(connection):
        row = connection.execute(
            "SELECT count(*) FROM ingestion.chunks WHERE partition_key = %s AND NOT superseded",
            (partition_key,),
        ).fetchone()
    return int(row[0]) if row else 0


def _update(cursor: Cursor[TupleRow], chunked: Chunked, chunks: Sequence[Chunk]) -> None:
    cursor.executemany(
        _UPDATE,
        [
            (
                c.ordinal,
                c.heading,
                c.content_hash,
                c.tokens,
                c.start,
                c.end,
                c.context,
                chunked.chunker,
                c.chunk_id,
            )
            for c in chunks
        ],
    )


def _copy(cursor: Cursor[TupleRow], chunked: Chunked, chunks: Sequence[Chunk]) -> None:
    with cursor.copy(_COPY) as copy:
        copy.set_types(_COPY_TYPES)
        for c in chunks:
            copy.write_row(
                (
                    c.chunk_id,
                    c.document_id,
                    chunked.partition_key,
                    c.ordinal,
                    c.heading,
                    c.text,
                    c.content_hash,
                    c.tokens,
                    c.start,
                    c.end,
                    c.context,
                    chunked.chunker,
                )
            )
