"""One document as it is stored: its chunks, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import active
from ingestion_assets.store.pages import PAGE

_DOCUMENTS = """
SELECT document_id, source, partition_key, uri, media_type, title, metadata, domain, category,
       bytes, modified_at, ingested_at
FROM ingestion.documents
WHERE uri = %(uri)s AND (%(source)s::text IS NULL OR source = %(source)s) ORDER BY source
"""
_CHUNKS = """
SELECT c.ordinal, c.chunk_id, c.heading, c.text, c.tokens, c.start_offset, c.end_offset,
       {page} AS page,
       CASE WHEN e.content_hash = c.content_hash THEN 'completed'
            ELSE coalesce(l.state, 'pending') END AS state, e.embedded_at, l.error_class, l.error
FROM ingestion.chunks c
JOIN ingestion.documents d USING (document_id)
LEFT JOIN {embeddings} e USING (chunk_id)
LEFT JOIN ingestion.ledger l ON l.chunk_id = c.chunk_id AND l.generation_id = %(generation)s
                            AND l.content_hash = c.content_hash
WHERE c.document_id = %(document)s AND NOT c.superseded ORDER BY c.ordinal
"""
_NO_EMBEDDINGS = """(SELECT NULL::uuid AS chunk_id, NULL::bytea AS content_hash,
                     NULL::timestamptz AS embedded_at WHERE false)"""
_SIMILAR = """
SELECT DISTINCT uri FROM ingestion.documents
WHERE position(lower(%s) IN lower(uri)) > 0 ORDER BY uri LIMIT 5
"""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document's row, its text left out."""

    document_id: UUID
    source: str
    partition_key: str
    uri: str
    media_type: str
    title: str
    metadata: dict[str, Any]
    domain: str | None
    category: str | None
    bytes: int
    modified_at: datetime
    ingested_at: datetime


@dataclass(frozen=True, slots=True)
class ChunkState:
    """A chunk and its state in the active generation: pending, processing, completed or error.

    Attributes:
        page: that it begins on, from 1; none if the document has no pages.
        error_class: of the latest failure, if it has no vector.
    """

    ordinal: int
    chunk_id: UUID
    heading: str
    text: str
    tokens: int
    start_offset: int
    end_offset: int
    page: int | None
    state: str
    embedded_at: datetime | None
    error_class: str | None
    error: str | None


def documents(connection: Connection, uri: str, source: str | None = None) -> list[StoredDocument]:
    """The documents of a uri, of one source or of all."""
    with connection.cursor(row_factory=class_row(StoredDocument)) as cursor:
        return cursor.execute(_DOCUMENTS, {"uri": uri, "source": source}).fetchall()


def chunks(connection: Connection, document_id: UUID) -> list[ChunkState]:
    """A document's chunks, in order."""
    generation = active(connection)
    query = sql.SQL(_CHUNKS).format(
        page=sql.SQL(PAGE),
        embeddings=generation.table if generation else sql.SQL(_NO_EMBEDDINGS),
    )
    of = {"document": document_id, "generation": generation.generation_id if generation else 0}
    with connection.cursor(row_factory=class_row(ChunkState)) as cursor:
        return cursor.execute(query, of).fetchall()


def similar(connection: Connection, part: str) -> Sequence[str]:
    """A few stored uris with a part in common."""
    return [uri for (uri,) in connection.execute(_SIMILAR, (part,))]
