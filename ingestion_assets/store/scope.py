"""Some chunks: those of a partition, or those that are named; and the order to lock them in."""

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from psycopg import sql

from ingestion_assets.store.connection import Connection

Chunks: TypeAlias = str | Sequence[UUID]

_LOCK = """
SELECT chunk_id FROM ingestion.chunks WHERE chunk_id = ANY(%b::uuid[])
ORDER BY chunk_id FOR NO KEY UPDATE
"""


def among(chunks: Chunks | None) -> sql.SQL:
    """The condition that a row `c` of the chunks table is one of them.

    Args:
        chunks: a partition's key, or ids; also the parameter `chunks` of the query. None is all.
    """
    if chunks is None:
        return sql.SQL("true")
    if isinstance(chunks, str):
        return sql.SQL("c.partition_key = %(chunks)s")
    return sql.SQL("c.chunk_id = ANY(%(chunks)s)")


def lock(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Lock chunks until the transaction ends; returns the ids of those there are.

    Whoever changes chunks, their vectors or their ledger rows locks the chunks first and in this
    order, so that nobody waits in a circle; a statement after this one sees what others wrote.
    """
    rows = connection.execute(_LOCK, (list(ids),), binary=True)
    return {chunk_id for (chunk_id,) in rows}
