"""Chunks against vectors: each has its own, of its present text, and it is one."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow

from ingestion_assets.store import embeddings
from ingestion_assets.store.claims import CHANNEL
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import Kind, Scope
from ingestion_assets.store.damage.rows import Rows, composed, parameters
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.scope import lock

# The ids first, from the indexes alone, and no more of them than are asked for.
FORGOTTEN: LiteralString = """
WITH bare AS MATERIALIZED (
    SELECT c.chunk_id FROM ingestion.chunks c
    WHERE {of_sources}
      AND NOT EXISTS (SELECT FROM {table} e WHERE e.chunk_id = c.chunk_id)
      AND NOT EXISTS (SELECT FROM ingestion.ledger l
                      WHERE l.chunk_id = c.chunk_id AND l.generation_id = %(generation)s)
      AND NOT EXISTS (SELECT FROM ingestion.chunks s
                      WHERE s.superseded AND s.chunk_id = c.chunk_id)
    LIMIT %(limit)s
)
SELECT 'vectors_missing' AS kind, c.chunk_id AS id,
       coalesce(d.source || '/' || d.uri, 'document ' || c.document_id) AS document,
       'chunk ' || c.chunk_id || ' has neither a vector nor a row in the ledger' AS what
FROM bare JOIN ingestion.chunks c USING (chunk_id)
LEFT JOIN ingestion.documents d USING (document_id)
"""
WITHOUT_CHUNK: LiteralString = """
SELECT 'vectors_orphaned' AS kind, chunk_id AS id, 'chunk ' || chunk_id AS document,
       'has a vector, but is gone' AS what
FROM {table} e
WHERE %(sources)s::text[] IS NULL
  AND NOT EXISTS (SELECT FROM ingestion.chunks c WHERE c.chunk_id = e.chunk_id)
LIMIT %(limit)s
"""
# One that waits to be replaced is no damage, as long as it can be searched; nor is one that a run
# is about to replace.
UNSOUND: LiteralString = """
SELECT CASE WHEN e.dimensions <> %(dimensions)s THEN 'vectors_of_wrong_dimension'
            WHEN e.length < 0.5 THEN 'vectors_dead'
            WHEN e.length BETWEEN 1 - %(tolerance)s AND 1 + %(tolerance)s THEN 'vectors_stale'
            ELSE 'vectors_not_unit' END AS kind, e.chunk_id AS id,
       coalesce(d.source || '/' || d.uri, 'chunk ' || e.chunk_id) AS document,
       CASE WHEN e.dimensions <> %(dimensions)s THEN e.dimensions || ' dimensions'
            WHEN e.length BETWEEN 1 - %(tolerance)s AND 1 + %(tolerance)s
                 THEN 'the vector of another text, and nothing waits for its own'
            ELSE 'length ' || round(e.length::numeric, 4) || ' instead of 1' END AS what
FROM (
    SELECT chunk_id, content_hash, vector_dims(embedding) AS dimensions,
           sqrt(greatest(-(embedding <#> embedding), 0)) AS length
    FROM {table} TABLESAMPLE SYSTEM (%(percent)s)
) e
LEFT JOIN ingestion.chunks c USING (chunk_id)
LEFT JOIN ingestion.documents d USING (document_id)
WHERE {of_sources}
  AND (e.dimensions <> %(dimensions)s OR e.length < 0.5
       OR (NOT c.superseded
           AND (e.length NOT BETWEEN 1 - %(tolerance)s AND 1 + %(tolerance)s
                OR c.content_hash <> e.content_hash AND c.partition_key <> ALL(%(busy)s))
           AND NOT EXISTS (SELECT FROM ingestion.ledger l
                           WHERE l.chunk_id = e.chunk_id AND l.generation_id = %(generation)s)))
"""
_ENQUEUE = """
INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)
SELECT %(generation)s, c.chunk_id, c.content_hash, 'pending'
FROM ingestion.chunks c LEFT JOIN {table} e USING (chunk_id)
WHERE c.chunk_id = ANY(%(ids)s) AND NOT c.superseded
  AND e.content_hash IS DISTINCT FROM c.content_hash
ON CONFLICT DO NOTHING
"""
_DELETE_ORPHANS = """
DELETE FROM {table} e WHERE e.chunk_id = ANY(%(ids)s)
  AND NOT EXISTS (SELECT FROM ingestion.chunks c WHERE c.chunk_id = e.chunk_id)
"""
_DELETE_UNFIT = """
DELETE FROM {table} e WHERE e.chunk_id = ANY(%(ids)s)
  AND (vector_dims(e.embedding) <> %(dimensions)s OR -(e.embedding <#> e.embedding) < 0.25)
"""
_NOT_UNIT = """
SELECT chunk_id FROM {table} e WHERE e.chunk_id = ANY(%(ids)s)
  AND sqrt(-(embedding <#> embedding)) NOT BETWEEN 1 - %(tolerance)s AND 1 + %(tolerance)s
"""

MISSING = Kind(
    "vectors_missing",
    "Chunks that have no vector, and nothing waits for one: they are not found before their"
    " partition is run again.",
    "puts them into the ledger; the next run or worker embeds them.",
)
ORPHANED = Kind(
    "vectors_orphaned", "Vectors whose chunks are gone: search steps over them.", "deletes them."
)
STALE = Kind(
    "vectors_stale",
    "Vectors of an earlier text of their chunk, and nothing waits for the present one.",
    "puts the chunks into the ledger; the old vectors are found until the new ones are stored.",
)
WRONG_DIMENSION = Kind(
    "vectors_of_wrong_dimension",
    "Vectors of another length than the model's: a search that meets one fails.",
    "deletes them, and puts their chunks into the ledger.",
)
DEAD = Kind(
    "vectors_dead",
    "Vectors of zeros: a distance to them is no number, so their chunks are not found.",
    "deletes them, and puts their chunks into the ledger.",
)
NOT_UNIT = Kind(
    "vectors_not_unit",
    "Vectors that are not of unit length, as all of Ollama's are: something else wrote them.",
    "puts their chunks into the ledger; they are found until the new ones are stored.",
)


def checks(generation: Generation, scope: Scope) -> list[Rows]:
    """What compares the chunks with the vectors of a generation."""
    return [
        Rows(FORGOTTEN, {MISSING: enqueue}, generation, scope),
        Rows(WITHOUT_CHUNK, {ORPHANED: _delete_orphans}, generation, scope),
        Rows(
            UNSOUND,
            {STALE: enqueue, WRONG_DIMENSION: _discard, DEAD: _discard, NOT_UNIT: _replace},
            generation,
            scope,
        ),
    ]


def enqueue(connection: Connection, generation: Generation, ids: Sequence[UUID]) -> None:
    """Have those of some chunks embedded that have no vector of their present text."""
    lock(connection, ids)
    _run(connection, _ENQUEUE, generation, ids)
    connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


def _delete_orphans(connection: Connection, generation: Generation, ids: Sequence[UUID]) -> None:
    _run(connection, _DELETE_ORPHANS, generation, ids)


def _discard(connection: Connection, generation: Generation, ids: Sequence[UUID]) -> None:
    lock(connection, ids)
    _run(connection, _DELETE_UNFIT, generation, ids)
    enqueue(connection, generation, ids)


def _replace(connection: Connection, generation: Generation, ids: Sequence[UUID]) -> None:
    lock(connection, ids)
    still = [chunk_id for (chunk_id,) in _run(connection, _NOT_UNIT, generation, ids)]
    embeddings.outdate(connection, generation, still)
    enqueue(connection, generation, still)


def _run(
    connection: Connection, statement: LiteralString, generation: Generation, ids: Sequence[UUID]
) -> Cursor[TupleRow]:
    return connection.execute(
        composed(statement, generation), {**parameters(generation), "ids": list(ids)}
    )
