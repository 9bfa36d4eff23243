"""Generations of embeddings in Dagster: opened by a job, seen by a check, dropped by a schedule."""

from typing import Any

import dagster as dg
from pydantic import Field

from ingestion_assets.defs.assets import embeddings
from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.jobs import COUNTED
from ingestion_assets.defs.report import table
from ingestion_assets.defs.resources import OllamaResource, StoreResource
from ingestion_assets.errors import ConfigError
from ingestion_assets.retrieval.promotion import promote
from ingestion_assets.retrieval.recipes import recipe
from ingestion_assets.store.generations import Plan, in_use
from ingestion_assets.store.generations.activation import Standing
from ingestion_assets.store.generations.listing import Listed, generations
from ingestion_assets.store.generations.opening import reembed
from ingestion_assets.store.generations.retirement import drop_expired

_SHOWN = (
    "generation_id", "status", "model", "dimensions", "storage", "texts", "embedded",
    "quarantined", "missing", "index", "awaits",
)  # fmt: skip


class ReembedConfig(dg.Config):
    """The generation to open; what is not given is the model's own."""

    model: str = Field(description="As Ollama names it.")
    dimensions: int | None = Field(default=None, description="Shorten the vectors.")
    halfvec: bool = Field(default=False, description="Store half as many bytes.")
    document_prefix: str | None = Field(default=None, description="Before every text.")
    query_prefix: str | None = Field(default=None, description="Before every question.")
    coverage: float = Field(default=1.0, description="Share of the texts that must be embedded.")
    activate: bool = Field(default=True, description="Whether it is searched by itself then.")
    golden: list[dict[str, Any]] = Field(
        default=[], description="Questions that judge it: query, and the uris it should find."
    )
    tolerance: float = Field(default=0.02, description="By which its figures may be lower.")


@dg.op(description="Opens a generation of embeddings beside the one that is searched.")
def open_beside(
    context: dg.OpExecutionContext,
    config: ReembedConfig,
    store: StoreResource,
    ollama: OllamaResource,
) -> None:
    """Open it; the ledger's sensor, runs and workers fill it."""
    plan = Plan(config.coverage, config.activate, store.grace_days, config.tolerance)
    with reported():
        wanted = recipe(
            ollama.identify(config.model),
            dimensions=config.dimensions,
            halved=config.halfvec,
            document_prefix=config.document_prefix,
            query_prefix=config.query_prefix,
        )
        opened = store.call(reembed, wanted, plan, config.golden)
        if opened.status == "active":
            raise ConfigError(
                f"generation {opened.generation_id} is made in this very way, and it is searched"
            )
    context.add_output_metadata({"generation": opened.generation_id, "model": opened.model})


@dg.op(description="Completes filled generations, drops those past their grace, counts the rest.")
def tend(context: dg.OpExecutionContext, store: StoreResource, ollama: OllamaResource) -> None:
    """Do what a run or a worker would have done that died meanwhile."""
    with reported():
        for generation in store.call(in_use):
            if generation.status == "building":
                found = ollama.run(promote(store.url(), generation, ollama.client))
                context.log.info(f"generation {generation.generation_id}: {found.value}")
        dropped = store.call(drop_expired)
    context.add_output_metadata({"dropped": len(dropped)})
    context.instance.report_runless_asset_event(_evaluated(store))


@dg.job(
    name="reembed",
    executor_def=dg.in_process_executor,
    description="Embeds everything with another model, beside what is searched.",
)
def reembed_job() -> None:
    """What `ingest reembed` does."""
    open_beside()


@dg.job(
    name="generations",
    executor_def=dg.in_process_executor,
    description="Completes and drops generations of embeddings.",
)
def generations_job() -> None:
    """Upkeep of the generations."""
    tend()


generations_tended = dg.ScheduleDefinition(
    name="generations_tended",
    job=generations_job,
    cron_schedule="15 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour, completes generations that are filled and drops what is past grace.",
)


@dg.asset_check(
    asset=embeddings,
    description="What is searched is complete, and what is to follow it gets on.",
)
@reported()
def generations_are_sound(store: StoreResource) -> dg.AssetCheckResult:
    """Coverage of every generation, counted exactly, and what none of them recovers from."""
    found = _evaluated(store)
    return dg.AssetCheckResult(
        asset_key=found.asset_key,
        check_name=found.check_name,
        passed=found.passed,
        severity=found.severity,
        description=found.description,
        metadata=found.metadata,
    )


def _evaluated(store: StoreResource) -> dg.AssetCheckEvaluation:
    listed = [each for each in store.call(generations) if each.coverage is not None]
    wrong = [problem for each in listed if (problem := _problem(each))]
    rows = ({name: each.described()[name] for name in _SHOWN} for each in listed)
    missing = sum(each.coverage.missing for each in listed if each.coverage and each.is_filled)
    return dg.AssetCheckEvaluation(
        asset_key=COUNTED.asset_key,
        check_name=COUNTED.name,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(wrong) or "as it should be",
        metadata={"generations_kept": len(listed), "missing": missing, **table("table", rows)},
    )


def _problem(each: Listed) -> str:
    """What an operator has to see to; empty if nothing."""
    number = each.generation.generation_id
    index = each.index.state
    if index in ("invalid", "wrong") and each.generation.status == "active":
        return f"the index of generation {number} is {index}: `ingest index` builds it again"
    if each.awaits in (Standing.REFUSED, Standing.HELD):
        return f"generation {number}: {each.awaits.value}"
    return ""
