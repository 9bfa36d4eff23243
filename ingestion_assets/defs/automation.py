"""What makes a partition stale: another chunker or model, and time."""

from datetime import timedelta

import dagster as dg

from ingestion_assets.chunks.chunker import VERSION
from ingestion_assets.embedding import model_facts
from ingestion_assets.settings import Settings

# Files that change are the sensor's to notice; this is for what no file tells.
REFRESH = (
    dg.AutomationCondition.code_version_changed().since_last_handled()  # type: ignore[misc]  # theirs
    & ~dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.in_progress()
).with_label("made by other code than the present")

_SHORTEST_HOURS = 1 / 60  # that Dagster allows

stale_partitions = dg.AutomationConditionSensorDefinition(
    "stale_partitions",
    target=dg.AssetSelection.groups("ingestion"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Does partitions again after a change of the chunker, the model or its settings.",
)


def versions(settings: Settings) -> dict[str, str]:
    """The code version of each asset: what decides its rows beside what is upstream.

    The embeddings' has the chunks' in it, so that both are done again in one run. A model that
    was pulled anew under its old name shows in its digest only: the next run opens a generation.
    """
    chunking = (
        f"structure-{VERSION}/{settings.model}/{settings.chunk_tokens}-{settings.chunk_overlap}"
    )
    facts = model_facts(settings.model)
    return {
        "chunks": chunking,
        "embeddings": f"{chunking}/{settings.model}/{facts.document_prefix}",
    }


def versioned(asset: dg.AssetsDefinition, settings: Settings) -> dg.AssetsDefinition:
    """An asset with its code version and the condition that does stale partitions again."""
    version = versions(settings)[asset.key.to_user_string()]
    return asset.map_asset_specs(
        lambda spec: spec.replace_attributes(code_version=version, automation_condition=REFRESH)
    )


def promised(asset: dg.AssetsDefinition, settings: Settings) -> dg.AssetsDefinition:
    """An asset with the promise that some partition of it is made again in INGEST_FRESH_HOURS.

    Dagster looks at the asset as a whole; the check `every_partition_is_fresh` at each partition.
    """
    window = timedelta(hours=max(settings.fresh_hours, _SHORTEST_HOURS))
    policy = dg.FreshnessPolicy.time_window(fail_window=window)
    return asset.map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, policy))
