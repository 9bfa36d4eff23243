from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ingestion_assets.defs import housekeeping
from ingestion_assets.defs.housekeeping import cleanup_job
from ingestion_assets.defs.partitions import partitions, register

OLD = 40  # days


@dg.asset(partitions_def=partitions)
def sources() -> None: ...


@dg.asset(partitions_def=partitions)
def embeddings() -> None: ...


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, ["notes/00", "notes/01"])
        yield instance


def _run(instance: dg.DagsterInstance, key: str, assets: list[dg.AssetsDefinition]) -> str:
    return dg.materialize(assets, instance=instance, partition_key=key).run_id


def _clean(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Clean up as it would be done in forty days; the runs that are left."""
    present = datetime.now(UTC)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return present + timedelta(days=OLD)

    monkeypatch.setattr(housekeeping, "datetime", Later)
    result = cleanup_job.execute_in_process(instance=instance)
    return {run.run_id for run in instance.get_runs()} - {result.run_id}


def test_old_runs_go_and_every_partition_stays_materialized(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(instance, "notes/00", [sources, embeddings])
    embedded = _run(instance, "notes/00", [embeddings])
    read = _run(instance, "notes/00", [sources])
    other = _run(instance, "notes/01", [sources])
    assert _clean(instance, monkeypatch) == {embedded, read, other}
    keys = {
        asset: instance.get_materialized_partitions(asset.key) for asset in (sources, embeddings)
    }
    assert keys == {sources: {"notes/00", "notes/01"}, embeddings: {"notes/00"}}


def test_a_partitions_newest_run_stays_even_if_it_failed(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset(partitions_def=partitions)
    def broken() -> None:
        raise ValueError

    first, last = (
        dg.materialize(
            [broken], instance=instance, partition_key="notes/00", raise_on_error=False
        ).run_id
        for _ in range(2)
    )
    assert _clean(instance, monkeypatch) == {last}
    assert first != last


def test_recent_runs_and_runs_under_way_stay(instance: dg.DagsterInstance) -> None:
    runs = {_run(instance, "notes/00", [sources]) for _ in range(3)}
    under_way = instance.add_run(dg.DagsterRun("j", status=dg.DagsterRunStatus.STARTED)).run_id
    result = cleanup_job.execute_in_process(instance=instance)
    assert {run.run_id for run in instance.get_runs()} == {*runs, under_way, result.run_id}
