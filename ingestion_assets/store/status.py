"""What the store holds of some partitions, in counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import active

_CHUNKS = """
SELECT count(*) FROM ingestion.chunks WHERE partition_key = ANY(%s) AND NOT superseded
"""
_EMBEDDED = """
SELECT count(*) FROM ingestion.chunks c JOIN {} e USING (chunk_id, content_hash)
WHERE c.partition_key = ANY(%s) AND NOT c.superseded
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Chunks, and those of them that have their vector in the active generation."""

    chunks: int
    embedded: int


def counts(connection: Connection, partition_keys: Sequence[str]) -> Counts:
    """Count the chunks and vectors of some partitions."""
    keys = (list(partition_keys),)
    chunks = connection.execute(_CHUNKS, keys).fetchone()
    generation = active(connection)
    if generation is None:
        return Counts(chunks[0] if chunks else 0, 0)
    embedded = connection.execute(sql.SQL(_EMBEDDED).format(generation.table), keys).fetchone()
    return Counts(chunks[0] if chunks else 0, embedded[0] if embedded else 0)
