"""The ledger against chunks and vectors: who waits there does so for a vector, and is waited on."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from ingestion_assets.store import claims, ledger
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import Kind, Scope
from ingestion_assets.store.damage.rows import Rows
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.scope import lock

WITHOUT_CHUNK: LiteralString = """
SELECT 'ledger_orphaned' AS kind, l.chunk_id AS id, 'chunk ' || l.chunk_id AS document,
       'waits in the ledger, but is gone' AS what
FROM ingestion.ledger l
WHERE %(sources)s::text[] IS NULL
  AND l.generation_id = %(generation)s
  AND NOT EXISTS (SELECT FROM ingestion.chunks c WHERE c.chunk_id = l.chunk_id)
LIMIT %(limit)s
"""
# Whoever has a text in hand settles it.
_SETTLED: LiteralString = """
SELECT 'ledger_settled' AS kind, l.chunk_id AS id, 'chunk ' || l.chunk_id AS document,
       CASE WHEN c.superseded THEN 'waits, but is replaced'
            WHEN l.content_hash <> c.content_hash THEN 'waits with a text that it no longer has'
            ELSE 'waits, but has its vector' END AS what
FROM ingestion.ledger l
JOIN ingestion.chunks c USING (chunk_id)
LEFT JOIN {table} e USING (chunk_id)
WHERE {of_sources}
  AND l.generation_id = %(generation)s
  AND (c.superseded OR l.content_hash <> c.content_hash OR e.content_hash = c.content_hash)
  AND {free}
"""
_EXPIRED: LiteralString = """
SELECT 'leases_expired' AS kind, l.chunk_id AS id, 'chunk ' || l.chunk_id AS document,
       'is in the hands of ' || coalesce(l.owner, 'nobody') || ', whose lease ended at '
       || to_char(greatest(l.lease_until, o.lease_until), 'YYYY-MM-DD HH24:MI:SS TZ') AS what
FROM ingestion.ledger l
JOIN ingestion.chunks c USING (chunk_id)
LEFT JOIN ingestion.owners o USING (owner)
WHERE {of_sources}
  AND l.generation_id = %(generation)s AND l.state = 'processing' AND {free}
"""
_OF_NO_GENERATION: LiteralString = """
SELECT 'ledger_of_no_generation' AS kind, l.chunk_id AS id, 'chunk ' || l.chunk_id AS document,
       'waits for generation ' || l.generation_id || ', which is gone' AS what
FROM ingestion.ledger l
WHERE %(sources)s::text[] IS NULL
  AND NOT EXISTS (SELECT FROM ingestion.generations g WHERE g.generation_id = l.generation_id)
"""
_DELETE_ORPHANS = """
DELETE FROM ingestion.ledger l WHERE l.chunk_id = ANY(%s)
  AND NOT EXISTS (SELECT FROM ingestion.chunks c WHERE c.chunk_id = l.chunk_id)
"""
_DELETE_OF_NO_GENERATION = """
DELETE FROM ingestion.ledger l WHERE l.chunk_id = ANY(%s)
  AND NOT EXISTS (SELECT FROM ingestion.generations g WHERE g.generation_id = l.generation_id)
"""
_DEAD_OWNERS = """
SELECT DISTINCT l.owner FROM ingestion.ledger l
WHERE l.chunk_id = ANY(%s) AND l.state = 'processing' AND {free}
"""

ORPHANED = Kind("ledger_orphaned", "Rows of the ledger whose chunks are gone.", "deletes them.")
SETTLED = Kind(
    "ledger_settled",
    "Rows of the ledger that wait for nothing: the chunk has its vector, or another text by now.",
    "deletes them.",
)
EXPIRED = Kind(
    "leases_expired",
    "Texts in the hands of a process that died. The next run or worker takes them over by itself;"
    " if they stay, nobody is at work.",
    "gives them back.",
)
OF_NO_GENERATION = Kind(
    "ledger_of_no_generation", "Rows of the ledger of a generation that is gone.", "deletes them."
)


def checks(generation: Generation, scope: Scope) -> list[Rows]:
    """What compares the ledger of a generation with the chunks and its vectors."""
    return [
        Rows(WITHOUT_CHUNK, {ORPHANED: _delete_orphans}, generation, scope),
        Rows(_SETTLED, {SETTLED: _sweep}, generation, scope),
        Rows(_EXPIRED, {EXPIRED: _give_back}, generation, scope),
    ]


def of_no_generation(generation: Generation, scope: Scope) -> list[Rows]:
    """What finds the rows of generations that are gone; asked once, of any generation."""
    return [Rows(_OF_NO_GENERATION, {OF_NO_GENERATION: _forget}, generation, scope)]


def _delete_orphans(connection: Connection, _: Generation, ids: Sequence[UUID]) -> None:
    connection.execute(_DELETE_ORPHANS, (list(ids),))


def _sweep(connection: Connection, generation: Generation, ids: Sequence[UUID]) -> None:
    lock(connection, ids)
    ledger.sweep(connection, generation, ids)


def _give_back(connection: Connection, _: Generation, ids: Sequence[UUID]) -> None:
    owners = sql.SQL(_DEAD_OWNERS).format(free=sql.SQL(claims.FREE))
    for (owner,) in connection.execute(owners, (list(ids),)).fetchall():
        claims.release(connection, owner)


def _forget(connection: Connection, _: Generation, ids: Sequence[UUID]) -> None:
    connection.execute(_DELETE_OF_NO_GENERATION, (list(ids),))
