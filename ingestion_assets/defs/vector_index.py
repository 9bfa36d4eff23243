"""The approximate index as an asset: built where the rule says so, and measured ever after."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ingestion_assets.defs.assets import RETRIES, embeddings
from ingestion_assets.defs.checks import LimitsResource
from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.jobs import UNDER_WAY
from ingestion_assets.defs.resources import OllamaResource, StoreResource
from ingestion_assets.errors import OllamaError
from ingestion_assets.retrieval import recall
from ingestion_assets.retrieval.recall import Recall
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation, active
from ingestion_assets.store.generations.activation import schedule
from ingestion_assets.store.index import Built, build_vector_index, check_used, index_state, rule
from ingestion_assets.store.index.progress import followed
from ingestion_assets.store.index.rule import Move, Verdict
from ingestion_assets.store.pool import open_pool

TOLD_SECONDS = 10.0  # between two lines on how far a build is

_NOTHING = Verdict(Move.KEEP, "nothing was ever embedded")


@dg.asset(
    deps=[embeddings],
    group_name="ingestion",
    owners=["team:ingestion"],
    kinds={"pgvector", "postgres"},
    retry_policy=RETRIES,
    description="The HNSW index of the generation that is searched. A materialization builds it"
    " where it is missing, useless or worn, while people search; else it is kept.",
    metadata={"documentation": dg.MetadataValue.path("docs/search.md")},
)
def vector_index(
    context: dg.AssetExecutionContext, store: StoreResource
) -> dg.MaterializeResult[None]:
    """Build it as the rule says, and see that Postgres searches it."""

    def tell(share: float) -> None:
        context.log.info(f"building the index: {share:.0%} of the vectors are read")

    with reported(), store.connect() as connection:
        generation = active(connection)
        if generation is None:
            return dg.MaterializeResult(metadata=_figures(_NOTHING, None))
        verdict, built = rule.judge(connection, generation), None
        if verdict.move is not Move.KEEP:
            context.log.info(f"the index is to be {verdict.move.value}: {verdict.why}")
            with followed(store.url(), generation, tell, seconds=TOLD_SECONDS):
                built = build_vector_index(
                    connection, generation, afresh=verdict.move is Move.REPLACE
                )
        if index_state(connection, generation).state == "valid":
            check_used(connection, generation)
    return dg.MaterializeResult(
        metadata={"generation": generation.generation_id, **_figures(verdict, built)}
    )


@dg.asset_check(
    asset=vector_index,
    description="Searches through the index find INGEST_RECALL_TARGET of what is nearest; they"
    " search it as hard from then on as that asks. Fails where the hardest is not enough.",
)
@reported()
def vector_index_recall(
    store: StoreResource, ollama: OllamaResource, limits: LimitsResource
) -> dg.AssetCheckResult:
    """Questions between stored vectors, and the golden ones, exactly and through the index."""
    generation = store.call(active)
    if generation is None or store.call(index_state, generation).state != "valid":
        return dg.AssetCheckResult(
            passed=True, description="there is no index: every search is exact"
        )
    golden = store.call(schedule, generation).golden or []
    asked, not_asked = _asked(ollama, generation, [question["query"] for question in golden])
    found = ollama.run(_tune(store.url(), limits.recall_target, asked))
    low, high = found.interval
    passed = low >= limits.recall_target
    return dg.AssetCheckResult(
        passed=passed,
        description=f"recall@{found.k} {found.value:.4f}, surely {low:.4f}, with ef_search"
        f" {found.ef_search}" + ("" if passed else f"; below {limits.recall_target:g}") + not_asked,
        metadata={
            "recall": found.value,
            "at_least": low,
            "at_most": high,
            "target": limits.recall_target,
            "ef_search": found.ef_search,
            "k": found.k,
            "questions": found.questions,
            "golden_questions": len(asked),
            "short_answers": found.short,
            "generation": generation.generation_id,
        },
    )


vector_index_job = dg.define_asset_job(
    "vector_index_job",
    selection=dg.AssetSelection.assets(vector_index),
    description="Builds the approximate index where it has to be built, and measures its recall.",
)

recall_job = dg.define_asset_job(
    "recall_job",
    selection=dg.AssetSelection.checks(vector_index_recall),
    description="Measures the recall of the approximate index.",
)

daily_recall = dg.ScheduleDefinition(
    name="daily_recall",
    job=recall_job,
    cron_schedule="0 6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning, after the night's runs, measures what searches find.",
)


@dg.sensor(
    job=vector_index_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has the approximate index built when a load is over, or when it is worn.",
)
def vector_index_due(context: dg.SensorEvaluationContext, store: StoreResource) -> Any:
    """Ask for a run where the rule asks for a build; looks at no vector."""
    verdict = store.call(_judge)
    if verdict.move is Move.KEEP:
        return dg.SkipReason(verdict.why)
    filters = dg.RunsFilter(job_name=vector_index_job.name, statuses=UNDER_WAY)
    if context.instance.get_run_ids(filters, limit=1):
        return dg.SkipReason("a run is at it")
    return dg.RunRequest()


def _judge(connection: Connection) -> Verdict:
    generation = active(connection)
    return rule.judge(connection, generation) if generation else _NOTHING


def _figures(verdict: Verdict, built: Built | None) -> dict[str, Any]:
    told = {"done": (verdict.move if built else Move.KEEP).value, "why": verdict.why}
    if built is None:
        return {**told, "rows": verdict.rows}
    return {
        **told,
        "rows": built.rows,
        "seconds": built.seconds,
        "bytes": built.bytes,
        "maintenance_work_mem_mb": built.effort.memory,
        "workers": built.effort.workers,
    }


def _asked(
    ollama: OllamaResource, generation: Generation, questions: Sequence[str]
) -> tuple[list[Any], str]:
    """Vectors of the golden questions, and why there are none if no server can make them."""

    async def embed() -> list[Any]:
        async with ollama.client() as client:
            return await recall.embedded(client, generation, questions)

    try:
        return (ollama.run(embed()) if questions else []), ""
    except OllamaError as exc:
        return [], f"; the golden questions were not asked: {exc}"


async def _tune(url: str, target: float, asked: Sequence[Any]) -> Recall:
    async with open_pool(url) as pool:
        return await recall.tune(pool, target=target, asked=asked)
