"""Partitions in, Dagster runs out: what `ingest run` and `ingest up` ask of an instance."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import RunFailureReason

from ingestion_assets.defs import build
from ingestion_assets.defs.assets import embeddings
from ingestion_assets.defs.failures import INTERRUPTED, named, root_cause
from ingestion_assets.defs.history import COMMAND_TAG
from ingestion_assets.defs.jobs import UNDER_WAY, ingest_job
from ingestion_assets.defs.lost import owned
from ingestion_assets.defs.partitions import partitions, register
from ingestion_assets.defs.report import plain
from ingestion_assets.defs.sensors import partitions_under_way
from ingestion_assets.defs.upkeep import see_to
from ingestion_assets.errors import ConfigError
from ingestion_assets.settings import Settings

_LATEST = 20  # runs that the rate is taken over
_QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


@dataclass(frozen=True, slots=True)
class Work:
    """What a run does with a partition, beyond bringing it up to date.

    Attributes:
        only_failed: run the embeddings alone, and of these only what failed before.
        clean: read, split and embed everything again; what is stored is found until replaced.
        allow_deletion: delete what is gone, though it be most of the source.
        root: the folder to read instead of the source's root.
        command: the same for all runs that belong together.
    """

    only_failed: bool = False
    clean: bool = False
    allow_deletion: bool = False
    root: Path | None = None
    command: str = field(default_factory=lambda: uuid4().hex)

    def config(self) -> dict[str, Any]:
        """The configuration of the assets that run."""
        if self.only_failed:
            return {"embeddings": {"config": {"only_failed": True}}}
        reading = {
            "reread": self.clean,
            "allow_deletion": self.allow_deletion,
            "root": str(self.root) if self.root else None,
        }
        return {
            "sources": {"config": reading},
            "chunks": {"config": {"resplit": self.clean}},
            "embeddings": {"config": {"again": self.clean}},
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did with one partition.

    Attributes:
        seconds: wall time of the run.
        figures: each materialized asset's metadata, by asset name.
        error: what went wrong; none when the run succeeded.
    """

    partition_key: str
    run_id: str
    seconds: float
    figures: Mapping[str, Mapping[str, Any]]
    error: str | None


def prepare_home(project: Path) -> Path:
    """Make DAGSTER_HOME with the project's dagster.yaml linked into it.

    Raises:
        ConfigError: the folder is not a project's.
    """
    config = project / "dagster.yaml"
    if not config.is_file():
        raise ConfigError(
            f"there is no dagster.yaml in {str(project)!r}; run in the project's folder"
        )
    home = project / ".dagster_home"
    home.mkdir(exist_ok=True)
    link = home / "dagster.yaml"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(config, home))
    return home


def prepare_instance(keys: Sequence[str]) -> None:
    """Create Dagster's tables, register partitions and limit pools, before services start."""
    with dg.DagsterInstance.get() as instance:
        _prepare(instance, keys)


def partition_keys() -> tuple[list[str], set[str]]:
    """The partition keys that the instance knows, and those of runs that have not ended."""
    with dg.DagsterInstance.get() as instance:
        known = instance.get_dynamic_partitions(partitions.name or "")
        return list(known), partitions_under_way(instance)


def forget_keys(keys: Sequence[str]) -> None:
    """Delete partition keys."""
    with dg.DagsterInstance.get() as instance:
        for key in keys:
            instance.delete_dynamic_partition(partitions.name or "", key)


def replace_partitions(old: Sequence[str], new: Sequence[str]) -> None:
    """Register a source's new partitions in the place of its old ones.

    Those that stay are registered anew: all of a source are neighbours, so that a range is one.
    """
    with dg.DagsterInstance.get() as instance:
        for key in {*old, *new}:
            instance.delete_dynamic_partition(partitions.name or "", key)
        register(instance, new)


def forget_partitions(source: str) -> None:
    """Delete all partitions of a source."""
    with dg.DagsterInstance.get() as instance:
        known = instance.get_dynamic_partitions(partitions.name or "")
    forget_keys([key for key in known if key.partition("/")[0] == source])


def cancel_runs() -> None:
    """Cancel the runs that are under way, as the UI's Terminate does.

    Of a run that an earlier Dagster launched nobody can tell whether it still goes on: it is left
    as canceling, and Dagster's monitoring ends it.
    """
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY)):
            instance.report_run_canceling(run)
            with suppress(DagsterUserCodeUnreachableError):
                instance.run_launcher.terminate(run.run_id)


def observed_rate() -> float | None:
    """Chunks embedded a second in the latest runs; none if none embedded anything."""
    with dg.DagsterInstance.get() as instance:
        latest = instance.fetch_materializations(embeddings.key, limit=_LATEST).records
    figures = [r.asset_materialization.metadata for r in latest if r.asset_materialization]
    embedded = sum(float(plain(f["texts_embedded"])) for f in figures if "texts_embedded" in f)
    seconds = sum(float(plain(f["seconds"])) for f in figures if "seconds" in f)
    return embedded / seconds if embedded and seconds else None


def materialize(keys: Sequence[str], work: Work) -> Iterator[Outcome]:
    """Run all three assets for each partition, one after the other, in this process.

    The runs are recorded in the instance, so the UI shows them.
    """
    definitions = build.definitions(Settings.from_environment())
    job = definitions.resolve_job_def(ingest_job.name)
    with dg.DagsterInstance.get() as instance:
        _prepare(instance, keys)
        for key in keys:
            yield _run(job, instance, key, work)


def _prepare(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    register(instance, keys)
    see_to(instance)


def _run(job: dg.JobDefinition, instance: dg.DagsterInstance, key: str, work: Work) -> Outcome:
    start = monotonic()
    result = job.execute_in_process(
        instance=instance,
        partition_key=key,
        tags={**owned(), COMMAND_TAG: work.command},
        run_config={"loggers": _QUIET, "ops": work.config()},
        asset_selection=[embeddings.key] if work.only_failed else None,
        raise_on_error=False,
    )
    error = _error(result)
    if error == INTERRUPTED:
        instance.report_run_canceled(result.dagster_run, error)
        raise KeyboardInterrupt
    return Outcome(key, result.run_id, monotonic() - start, _figures(result), error)


def _figures(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    return {
        event.asset_key.to_user_string(): {
            name: plain(value)
            for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    }


def _error(result: dg.ExecuteInProcessResult) -> str | None:
    if result.success:
        return None
    for event in result.all_events:
        if event.is_step_failure:
            return named(event.step_failure_data)
        if event.is_job_failure and event.job_failure_data.error:
            reason = event.job_failure_data.failure_reason
            if reason is RunFailureReason.UNEXPECTED_TERMINATION:
                return INTERRUPTED
            return root_cause(event.job_failure_data.error)
    return "the run failed; its page in the Dagster UI says why"
