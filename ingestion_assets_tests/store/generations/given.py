"""A second way of making vectors, and what befalls texts in it."""

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.store import ledger
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation, Recipe, active, find
from ingestion_assets.store.ledger import Failed

RECIPE = Recipe("n", "sha", 4, "", "", {})


def numbered(connection: Connection, number: int) -> Generation:
    found = find(connection, number)
    assert found is not None
    return found


def searched(connection: Connection) -> Generation:
    found = active(connection)
    assert found is not None
    return found


def quarantine(connection: Connection, generation: Generation, chunk: Chunk) -> None:
    failed = Failed(chunk.chunk_id, chunk.content_hash, "PoisonTextError", "why", True)
    ledger.record(connection, generation, [failed])
