"""What a materialization says of itself: numbers that plot, and a table of what failed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import dagster as dg

from ingestion_assets.defs.filling import Filling
from ingestion_assets.defs.plot import plot
from ingestion_assets.embedding import EmbeddingStream
from ingestion_assets.pace import Latencies
from ingestion_assets.sources import Failure, Reconciliation
from ingestion_assets.store.generations import Generation

LISTED = 50  # an event is stored for good, for every materialization: keep it small
_BYTES = 8_000  # of a table's records
_CELL = 160  # characters


def reconciled(work: Reconciliation) -> dict[str, Any]:
    """What became of a partition's files."""
    return {
        **asdict(work.counts),
        **_failures("failures", work.failures),
        **_failures("not_text", work.skipped),
    }


def embedded(generation: Generation, stream: EmbeddingStream) -> dict[str, Any]:
    """How the embedding went, and into which generation."""
    return {
        **figures(stream),
        "generation": generation.generation_id,
        "model": generation.model,
        "dagster/table_name": f"ingestion.{generation.name}",
    }


def filled(parts: Sequence[Filling], counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How a partition was embedded: into the generation that is searched, and those beside it."""
    first = max(range(len(parts)), key=lambda n: parts[n].generation.status == "active", default=-1)
    if first < 0:
        return {"rows": 0}
    if len(parts) == 1:
        return dict(counts[0])
    names = ("rows", "chunks", "embedded", "reused", "quarantined", "missing")
    records = (
        {
            "generation": part.generation.generation_id,
            "status": part.generation.status,
            "model": part.generation.model,
            **{name: count[name] for name in names},
        }
        for part, count in zip(parts, counts, strict=True)
    )
    together = {name: sum(count[name] for count in counts) for name in ("embedded", "reused")}
    return {**counts[first], **together, **table("generations", records)}


def figures(stream: EmbeddingStream) -> dict[str, Any]:
    """What a stream did, in numbers that plot, and how its servers were."""
    found = asdict(stream.metrics)
    lists = ("endpoints", "latencies", "course")
    return {
        "plot": plot(found["course"]),
        **found,
        **{name: dg.MetadataValue.json(found[name]) for name in lists},
        "started": dg.MetadataValue.timestamp(found["started"]),
        "chunks_per_s": found["texts_embedded"] / max(found["seconds"], 1e-9),
    }


def timed(latencies: Latencies, started: float, seconds: float) -> dict[str, Any]:
    """How long a stage took, and its batches: from their making to their commit."""
    return {
        "started": dg.MetadataValue.timestamp(started),
        "seconds": seconds,
        "mean_ms": 1e3 * latencies.mean,
        "p50_ms": 1e3 * latencies.percentile(50),
        "p95_ms": 1e3 * latencies.percentile(95),
        "latencies": dg.MetadataValue.json(latencies.data()),
    }


def table(name: str, records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Metadata with a table of records, cut so that the event stays small; empty if none."""
    kept: list[dg.TableRecord] = []
    size = 0
    for record in islice(records, LISTED):
        cut = {key: _cut(value) for key, value in record.items()}
        size += len(json.dumps(cut))
        if size > _BYTES:
            break
        kept.append(dg.TableRecord(cut))
    return {name: dg.MetadataValue.table(kept)} if kept else {}


def plain(value: dg.MetadataValue[Any]) -> Any:
    """What was put into metadata, as data again."""
    if isinstance(value, dg.TableMetadataValue):
        return [record.data for record in value.records]
    return value.value


def _failures(name: str, failures: Sequence[Failure]) -> dict[str, Any]:
    records = ({"uri": f.uri, "error": f.error_class, "message": f.message} for f in failures)
    return table(name, records)


def _cut(value: Any) -> Any:
    return f"{value[: _CELL - 1]}…" if isinstance(value, str) and len(value) > _CELL else value
