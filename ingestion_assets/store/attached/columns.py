"""An attached table's own columns: vector and status, written beside what is known of the row."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg import sql

from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.attached.keys import matches
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.connection import Connection

_STATUS = """
UPDATE {relation} t SET {status} = %s {emptied}
FROM unnest(%s::text[]) AS k (row_key) WHERE {matches} AND ({stale})
"""
_VECTORS = """
UPDATE {relation} t SET {vector} = k.embedding, {status} = 'completed'
FROM unnest(%b::text[], %b::vector[]) AS k (row_key, embedding) WHERE {matches}
"""


def mark(
    connection: Connection,
    attachment: Attachment,
    status: str,
    keys: Sequence[str],
    *,
    empty: bool = False,
) -> None:
    """Write the status of rows that are locked; a row that has it already is not written.

    Args:
        empty: take the vector away too; it belongs to a text that the row no longer has.
    """
    if not keys:
        return
    stale = sql.SQL("t.{} IS DISTINCT FROM %s").format(attachment.status)
    vector = sql.SQL("t.{} IS NOT NULL").format(attachment.vector)
    query = sql.SQL(_STATUS).format(
        relation=attachment.relation,
        status=attachment.status,
        emptied=sql.SQL(", {} = NULL").format(attachment.vector) if empty else sql.SQL(""),
        matches=_matches(attachment),
        stale=sql.SQL("{} OR {}").format(stale, vector) if empty else stale,
    )
    connection.execute(query, (status, list(keys), status))


def write(
    connection: Connection, attachment: Attachment, keys: Sequence[str], matrix: NDArray[Any]
) -> None:
    """Write the vectors of rows that are locked: row i of the matrix belongs to keys[i]."""
    if not keys:
        return
    register_vector(connection)
    query = sql.SQL(_VECTORS).format(
        relation=attachment.relation,
        vector=attachment.vector,
        status=attachment.status,
        matches=_matches(attachment),
    )
    connection.execute(query, (list(keys), [Vector(row) for row in matrix]))


def _matches(attachment: Attachment) -> sql.Composed:
    return matches(attachment.keys, "t", identifier("k", "row_key"))
