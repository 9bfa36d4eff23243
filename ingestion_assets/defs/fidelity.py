"""Whether the model gives what it gave: asked on a schedule, and when a run begins to embed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.report import table
from ingestion_assets.defs.resources import OllamaResource, StoreResource
from ingestion_assets.doctor import fidelity
from ingestion_assets.store.damage.finding import Finding
from ingestion_assets.store.generations import Generation, active

_ERROR = dg.AssetCheckSeverity.ERROR

# Of its own, so that materializing a partition does not read all tables.
vector_store = dg.AssetSpec(
    "vector_store",
    deps=["embeddings"],
    group_name="ingestion",
    owners=["team:ingestion"],
    kinds={"pgvector", "postgres"},
    description="All tables together, as `ingest doctor` looks at them. Nothing materializes it:"
    " its checks say whether it is whole.",
)


@dg.asset_check(
    asset=vector_store.key,
    description="Known texts get the vectors they got when the generation began: from every"
    " server, alone and in a list. If not, what changed is named.",
)
@reported()
def embeddings_fidelity(store: StoreResource, ollama: OllamaResource) -> dg.AssetCheckResult:
    """Texts of many kinds, embedded again: a changed server or model is noticed."""
    generation = store.call(active)
    if generation is None:
        return result("embeddings_fidelity", [], _ERROR)
    return _look(store, ollama, generation)


def look_at_start(
    instance: dg.DagsterInstance,
    store: StoreResource,
    ollama: OllamaResource,
    generation: Generation,
) -> str | None:
    """Do what the check does, and note its outcome; what is wrong, if anything is."""
    found = _look(store, ollama, generation)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=vector_store.key,
            check_name="embeddings_fidelity",
            passed=found.passed,
            severity=found.severity,
            description=found.description,
            metadata=found.metadata,
        )
    )
    return None if found.passed else found.description


fidelity_job = dg.define_asset_job(
    "fidelity_job",
    selection=dg.AssetSelection.checks(embeddings_fidelity),
    description="Has known texts embedded, and compares them with what they got at first.",
)

fidelity_schedule = dg.ScheduleDefinition(
    name="six_hourly_fidelity",
    job=fidelity_job,
    cron_schedule="45 */6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every six hours, looks whether the servers still give the same vectors.",
)


def result(
    name: str,
    found: Sequence[Finding],
    severity: dg.AssetCheckSeverity,
    **figures: Any,
) -> dg.AssetCheckResult:
    """Passed when nothing was found; else what was, as a table."""
    rows = [row for finding in found for row in _rows(finding)]
    return dg.AssetCheckResult(
        asset_key=vector_store.key,
        check_name=name,
        passed=not found,
        severity=severity,
        description="; ".join(map(_told, found)) or "as it should be",
        metadata={**figures, **table("findings", rows)},
    )


def _look(
    store: StoreResource, ollama: OllamaResource, generation: Generation
) -> dg.AssetCheckResult:
    said = ollama.probe(generation)
    verdict = store.call(fidelity.compare, generation, said)
    return result(
        "embeddings_fidelity",
        verdict.findings,
        _ERROR,
        generation=generation.generation_id,
        drift=verdict.drift,
        single_against_batch=verdict.batch,
        between_servers=verdict.spread,
        server_versions=dg.MetadataValue.json(verdict.versions),
    )


def _told(found: Finding) -> str:
    """A finding with its first example in full length, which a table has no room for."""
    return f"{found.kind.name}: {found.count}, as {found.examples[0]}"


def _rows(found: Finding) -> Iterator[dict[str, Any]]:
    for example in found.examples:
        yield {**asdict(found.kind), "mends": str(found.kind.mends), "example": example}
