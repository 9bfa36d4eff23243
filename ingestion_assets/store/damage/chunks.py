"""Documents against chunks: every chunk has its document, its partition and its own position."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import Kind, Scope
from ingestion_assets.store.damage.rows import Rows
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.scope import lock

OUT_OF_PLACE: LiteralString = """
SELECT CASE WHEN d.document_id IS NULL THEN 'chunks_orphaned'
            WHEN d.partition_key <> c.partition_key THEN 'chunks_misplaced'
            ELSE 'chunks_doubled' END AS kind, c.chunk_id AS id,
       coalesce(d.source || '/' || d.uri, 'document ' || c.document_id) AS document,
       CASE WHEN d.document_id IS NULL THEN 'chunk ' || c.chunk_id || ' has no document'
            WHEN d.partition_key <> c.partition_key
                 THEN 'chunk ' || c.chunk_id || ' is in partition ' || c.partition_key
            ELSE 'chunk ' || c.chunk_id || ' shares its position ' || c.ordinal END AS what
FROM (
    SELECT chunk_id, document_id, partition_key, ordinal, NOT superseded
              AND count(*) OVER (PARTITION BY document_id, ordinal, superseded) > 1 AS doubled
    FROM ingestion.chunks c
    WHERE (%(key)s::text IS NULL OR partition_key = %(key)s) AND {of_sources}
) c LEFT JOIN ingestion.documents d USING (document_id)
WHERE (d.document_id IS NULL OR d.partition_key <> c.partition_key OR c.doubled)
  AND c.partition_key <> ALL(%(busy)s)
ORDER BY document, c.ordinal LIMIT %(limit)s
"""
_DELETE = """
DELETE FROM ingestion.chunks c WHERE c.chunk_id = ANY(%s)
  AND NOT EXISTS (SELECT FROM ingestion.documents d WHERE d.document_id = c.document_id)
"""
_MOVE = """
UPDATE ingestion.chunks c SET partition_key = d.partition_key FROM ingestion.documents d
WHERE c.chunk_id = ANY(%s) AND d.document_id = c.document_id
  AND d.partition_key <> c.partition_key
"""
# In the order in which a run writes documents.
_SPLIT_AGAIN = """
WITH due AS (
    SELECT document_id FROM ingestion.documents
    WHERE document_id IN (SELECT document_id FROM ingestion.chunks WHERE chunk_id = ANY(%s))
    ORDER BY document_id FOR NO KEY UPDATE
)
UPDATE ingestion.documents d SET chunked_as = NULL FROM due WHERE d.document_id = due.document_id
"""

ORPHANED = Kind(
    "chunks_orphaned",
    "Chunks whose document is gone: they are found, and lead nowhere.",
    "deletes them, with their vectors.",
)
MISPLACED = Kind(
    "chunks_misplaced",
    "Chunks that are in another partition than their document: its runs do not see them.",
    "moves them.",
)
DOUBLED = Kind(
    "chunks_doubled",
    "Chunks that are in one position of their document: one of them is of another text.",
    "has their documents split again.",
)


def checks(generation: Generation, scope: Scope) -> list[Rows]:
    """What compares the documents with their chunks."""
    kinds = {ORPHANED: _delete, MISPLACED: _move, DOUBLED: _split_again}
    return [Rows(OUT_OF_PLACE, kinds, generation, scope)]


def _delete(connection: Connection, _: Generation, ids: Sequence[UUID]) -> None:
    lock(connection, ids)
    connection.execute(_DELETE, (list(ids),))


def _move(connection: Connection, _: Generation, ids: Sequence[UUID]) -> None:
    lock(connection, ids)
    connection.execute(_MOVE, (list(ids),))


def _split_again(connection: Connection, _: Generation, ids: Sequence[UUID]) -> None:
    connection.execute(_SPLIT_AGAIN, (list(ids),))
