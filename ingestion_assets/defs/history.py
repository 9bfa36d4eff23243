"""A run's name in, what Dagster recorded out: of it, and of all that were started with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.storage.tags import BACKFILL_ID_TAG, PARTITION_NAME_TAG

from ingestion_assets.defs.report import plain
from ingestion_assets.errors import ConfigError

COMMAND_TAG = "ingestion/command"  # the same for all runs of one `ingest run`

_OTHERS = ("collections_job", "cleanup_job")  # that embed nothing
_PAGE = 500  # runs


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run.

    Attributes:
        partition_key: empty if it has none.
        started: in seconds since 1970; none before it starts. `ended` likewise.
        figures: each materialized asset's metadata, by asset name.
    """

    run_id: str
    partition_key: str
    status: str
    started: float | None
    ended: float | None
    figures: Mapping[str, Mapping[str, Any]]


def recorded(name: str | None) -> list[Recorded]:
    """A run and those that the same command or backfill started, the first one first.

    Args:
        name: the id of a run or a backfill, or its beginning; none for the latest run.

    Raises:
        ConfigError: there is none, or there are several that begin so.
    """
    with dg.DagsterInstance.get() as instance:
        found = _latest(instance) if name is None else _named(instance, name)
        group = _group(found.dagster_run)
        together = instance.get_run_records(dg.RunsFilter(tags=group)) if group else [found]
        return [_recorded(instance, record) for record in reversed(together)]


def _latest(instance: dg.DagsterInstance) -> dg.RunRecord:
    for record in _records(instance):
        if record.dagster_run.job_name not in _OTHERS:
            return record
    raise ConfigError("nothing was run yet; begin with `ingest run`")


def _named(instance: dg.DagsterInstance, name: str) -> dg.RunRecord:
    found: dict[str, dg.RunRecord] = {}
    for record in _records(instance):
        run = record.dagster_run
        names = (run.run_id, *_group(run).values())
        if any(known.startswith(name) for known in names):
            found.setdefault(names[-1], record)
    if not found:
        raise ConfigError(f"no run's id begins with {name!r}; the UI lists them under Runs")
    if len(found) > 1:
        raise ConfigError(f"the ids of {len(found)} runs begin with {name!r}; give more of it")
    return next(iter(found.values()))


def _group(run: dg.DagsterRun) -> dict[str, str]:
    """The tag that all runs have which were started together; empty if it was started alone."""
    for tag in (BACKFILL_ID_TAG, COMMAND_TAG):
        if tag in run.tags:
            return {tag: run.tags[tag]}
    return {}


def _records(instance: dg.DagsterInstance) -> Iterator[dg.RunRecord]:
    """All runs, the newest first."""
    cursor = None
    while page := instance.get_run_records(limit=_PAGE, cursor=cursor):
        yield from page
        cursor = page[-1].dagster_run.run_id


def _recorded(instance: dg.DagsterInstance, record: dg.RunRecord) -> Recorded:
    run = record.dagster_run
    events = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    made = [e.event_log_entry.asset_materialization for e in events.records]
    return Recorded(
        run_id=run.run_id,
        partition_key=run.tags.get(PARTITION_NAME_TAG, ""),
        status=run.status.value,
        started=record.start_time,
        ended=record.end_time,
        figures={
            m.asset_key.to_user_string(): {k: plain(v) for k, v in m.metadata.items()}
            for m in made
            if m is not None
        },
    )
