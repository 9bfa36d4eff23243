"""Old runs out of Dagster's storage, which keeps every event for ever otherwise."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG
from pydantic import Field

from ingestion_assets.defs.assets import chunks, embeddings, sources

_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_PAGE = 500  # runs, or events, read at once


class CleanupConfig(dg.Config):
    """What is old."""

    days: int = Field(default=30, ge=1, description="Runs older than that are deleted.")


@dg.op(description="Deletes runs that are old, and no partition's newest.")
def delete_old_runs(context: dg.OpExecutionContext, config: CleanupConfig) -> None:
    """Delete finished runs and their events, but for those that the asset pages live on.

    A deleted run takes its materializations with it, and a partition without any counts as
    missing. So a partition's newest run stays, and the newest run that materialized each asset.
    """
    instance = context.instance
    kept = _materializing(instance)
    seen: set[str] = set()
    deleted = 0
    for run in list(_finished(instance, datetime.now(UTC) - timedelta(days=config.days))):
        partition = run.tags.get(PARTITION_NAME_TAG)
        if run.run_id in kept or (partition and partition not in seen and _newest(instance, run)):
            seen.add(partition or "")
            continue
        instance.delete_run(run.run_id)
        deleted += 1
    context.log.info(f"deleted {deleted} runs that were older than {config.days} days")


@dg.job(executor_def=dg.in_process_executor, description="Deletes old runs and their events.")
def cleanup_job() -> None:
    """Keep Dagster's storage from growing for ever."""
    delete_old_runs()


def _finished(instance: dg.DagsterInstance, before: datetime) -> Iterator[dg.DagsterRun]:
    """Runs created before a moment, the newest first."""
    cursor = None
    while True:
        wanted = dg.RunsFilter(statuses=_FINISHED, created_before=before)
        page = instance.get_runs(wanted, cursor=cursor, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        cursor = page[-1].run_id


def _newest(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    wanted = dg.RunsFilter(tags={PARTITION_NAME_TAG: run.tags[PARTITION_NAME_TAG]})
    [newest] = instance.get_runs(wanted, limit=1)
    return newest.run_id == run.run_id


def _materializing(instance: dg.DagsterInstance) -> set[str]:
    """Runs with the latest materialization of some partition of an asset."""
    runs: set[str] = set()
    storage = instance.event_log_storage
    for asset in (sources, chunks, embeddings):
        latest = storage.get_latest_storage_id_by_partition(
            asset.key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        ids = sorted(latest.values())
        for start in range(0, len(ids), _PAGE):
            wanted = dg.AssetRecordsFilter(asset.key, storage_ids=ids[start : start + _PAGE])
            records = instance.fetch_materializations(wanted, limit=_PAGE).records
            runs |= {record.run_id for record in records}
    return runs
