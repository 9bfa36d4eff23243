"""What a materialization says of itself: numbers that plot, and a table of what failed."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from ingestion_assets.embedding import EmbeddingStream
from ingestion_assets.sources import Failure, Reconciliation
from ingestion_assets.store.generations import Generation

_LISTED = 50  # an event is stored for good, for every materialization: keep it small


def reconciled(work: Reconciliation) -> dict[str, Any]:
    """What became of a partition's files."""
    return {
        **asdict(work.counts),
        **_table("failures", work.failures),
        **_table("not_text", work.skipped),
    }


def embedded(generation: Generation, stream: EmbeddingStream) -> dict[str, Any]:
    """How the embedding went, and into which generation."""
    figures = asdict(stream.metrics)
    return {
        **figures,
        "endpoints": dg.MetadataValue.json(figures["endpoints"]),
        "chunks_per_s": figures["texts_embedded"] / max(figures["seconds"], 1e-9),
        "generation": generation.generation_id,
        "model": generation.model,
        "dagster/table_name": f"ingestion.{generation.name}",
    }


def _table(name: str, failures: Sequence[Failure]) -> dict[str, Any]:
    if not failures:
        return {}
    records = [
        dg.TableRecord({"uri": f.uri, "error": f.error_class, "message": f.message})
        for f in failures[:_LISTED]
    ]
    return {name: dg.MetadataValue.table(records)}
