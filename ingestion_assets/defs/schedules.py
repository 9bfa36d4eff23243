"""Schedules: what is looked at again although nothing was noticed."""

from datetime import datetime

import dagster as dg

from ingestion_assets.defs.assets import chunks, embeddings, sources
from ingestion_assets.defs.housekeeping import cleanup_job
from ingestion_assets.defs.jobs import ingest_job
from ingestion_assets.defs.partitions import partitions
from ingestion_assets.defs.resources import CatalogResource, StoreResource
from ingestion_assets.defs.sensors import partitions_under_way
from ingestion_assets.store.due import due

MOST_RUNS = 100  # of a tick
NIGHT_STARTS = 2  # o'clock
SLICE_MINUTES = 5  # between two ticks of the night


@dg.schedule(
    job=ingest_job,
    cron_schedule="*/5 2-4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night, every partition once: also finds what no time stamp tells.",
)
def nightly_reconcile(
    context: dg.ScheduleEvaluationContext, catalog: CatalogResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """A slice of a hundred partitions every five minutes, from two to five o'clock."""
    now = context.scheduled_execution_time
    keys = [key for source in catalog.sources() for key in source.partition_keys()]
    known = set(context.instance.get_dynamic_partitions(partitions.name or ""))
    turn = _turn(now)
    mine = [key for key in keys[turn * MOST_RUNS : (turn + 1) * MOST_RUNS] if key in known]
    if not mine:
        return dg.SkipReason(f"all {len(keys)} partitions have had their turn tonight")
    return [dg.RunRequest(run_key=f"{key}:{now:%Y-%m-%d}", partition_key=key) for key in mine]


@dg.schedule(
    job=ingest_job,
    cron_schedule="30 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour, the partitions whose last run failed or left texts without a vector.",
)
def hourly_retry(
    context: dg.ScheduleEvaluationContext, catalog: CatalogResource, store: StoreResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Partitions that Dagster calls failed, and those of the ledger; not what is quarantined."""
    listed = {key for source in catalog.sources() for key in source.partition_keys()}
    left = [d.partition_key for d in store.call(due, seconds=0, limit=MOST_RUNS, failed=True)]
    busy = partitions_under_way(context.instance)
    keys = dict.fromkeys([*left, *_failed(context.instance)])
    again = [key for key in keys if key in listed and key not in busy][:MOST_RUNS]
    if not again:
        return dg.SkipReason("nothing has failed, and no text is left without a vector")
    hour = f"{context.scheduled_execution_time:%Y-%m-%dT%H}"
    return [dg.RunRequest(run_key=f"{key}:retry:{hour}", partition_key=key) for key in again]


weekly_cleanup = dg.ScheduleDefinition(
    name="weekly_cleanup",
    job=cleanup_job,
    cron_schedule="0 5 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every Sunday, deletes old runs, but no partition's newest.",
)


def _turn(now: datetime) -> int:
    """The number of a tick in its night."""
    return ((now.hour - NIGHT_STARTS) * 60 + now.minute) // SLICE_MINUTES


def _failed(instance: dg.DagsterInstance) -> list[str]:
    """Partitions whose latest materialization of an asset failed, in order."""
    keys = instance.get_dynamic_partitions(partitions.name or "")
    failed: set[str] = set()
    for asset in (sources, chunks, embeddings):
        statuses = instance.get_status_by_partition(asset.key, keys, partitions) or {}
        failed |= {k for k, status in statuses.items() if status and status.value == "FAILED"}
    return [key for key in keys if key in failed]
