"""What a run would find in the store: vectors that are there, chunks that wait for theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation

_EMBEDDED = "SELECT DISTINCT content_hash FROM {table} WHERE content_hash = ANY(%s)"
_WAITING = """
SELECT count(*), coalesce(sum(tokens), 0)
FROM (
    SELECT DISTINCT ON (c.content_hash) c.tokens
    FROM ingestion.chunks c
    WHERE c.partition_key = %(key)s AND NOT c.superseded AND c.document_id <> ALL(%(but)s)
      AND {waits}
) waiting
"""
_WITHOUT_VECTOR = """NOT EXISTS (SELECT FROM {table} e WHERE e.content_hash = c.content_hash)
  AND NOT EXISTS (
      SELECT FROM ingestion.ledger l
      WHERE l.generation_id = %(generation)s AND l.content_hash = c.content_hash AND l.quarantined
  )
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Different texts of stored chunks that have no vector yet, and their tokens."""

    texts: int
    tokens: int


def embedded(connection: Connection, generation: Generation, hashes: Sequence[bytes]) -> set[bytes]:
    """Those of some content hashes that have a vector in a generation."""
    query = sql.SQL(_EMBEDDED).format(table=generation.table)
    return {found for (found,) in connection.execute(query, (list(hashes),), binary=True)}


def waiting(
    connection: Connection,
    generation: Generation | None,
    partition_key: str,
    *,
    but: Sequence[UUID],
) -> Waiting:
    """Count a partition's texts that a run would embed.

    Args:
        generation: the one to be filled; none is a new one, for which every text waits.
        but: documents that are left out, because the run would split them anew.
    """
    where: dict[str, object] = {"key": partition_key, "but": list(but)}
    waits: sql.Composable = sql.SQL("true")
    if generation is not None:
        waits = sql.SQL(_WITHOUT_VECTOR).format(table=generation.table)
        where["generation"] = generation.generation_id
    row = connection.execute(sql.SQL(_WAITING).format(waits=waits), where).fetchone()
    return Waiting(*row) if row else Waiting(0, 0)
