"""A store with collections, for the tests."""

from collections.abc import Sequence
from dataclasses import replace

from ingestion_assets.changes import Changes
from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.store import chunks, documents, sources
from ingestion_assets.store.connection import Connection
from ingestion_assets_tests.store import rows


def document(
    connection: Connection,
    uri: str,
    domain: str | None,
    category: str | None,
    texts: Sequence[str] = ("one", "two"),
    *,
    key: str = rows.KEY,
    embedded: bool = True,
) -> list[Chunk]:
    """Store a document of a domain and a category, and its chunks with their vectors."""
    sources.register(connection, key.partition("/")[0], "files", 1, {})
    owner = replace(rows.document(uri, "\n".join(texts), key), domain=domain, category=category)
    documents.write(connection, Changes([owner]))
    pieces = rows.split(owner, texts)
    chunks.write(connection, rows.batch(owner, new=pieces, key=key))
    generation = rows.generation(connection)
    if embedded:
        rows.embed(connection, generation, pieces)
    return pieces
