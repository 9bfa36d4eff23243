"""What the files say of a collection, and of each of its chunks; the same in every format."""

from typing import Any

from ingestion_assets.store.collections import Collection, Row
from ingestion_assets.store.generations import Generation


def head(collection: Collection, generation: Generation) -> dict[str, Any]:
    """What is true of all chunks."""
    return {
        "domain": collection.domain,
        "category": collection.category,
        "model": generation.model,
        "digest": generation.digest,
        "dimensions": generation.dimensions,
        "generation": generation.generation_id,
        "count": collection.chunks,
        "missing": collection.missing,
    }


def record(row: Row) -> dict[str, Any]:
    """One chunk; `metadata` is JSON, as text."""
    return {
        "id": str(row.chunk_id),
        "document_id": str(row.document_id),
        "source": row.source,
        "uri": row.uri,
        "title": row.title,
        "media_type": row.media_type,
        "ordinal": row.ordinal,
        "heading": row.heading,
        "text": row.text,
        "tokens": row.tokens,
        "start": row.start,
        "end": row.end,
        "content_hash": row.content_hash.hex(),
        "metadata": row.metadata,
    }
