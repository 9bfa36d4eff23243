from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.defs import schedules
from ingestion_assets.defs.partitions import register
from ingestion_assets.defs.resources import CatalogResource, StoreResource
from ingestion_assets.defs.schedules import hourly_retry, nightly_reconcile
from ingestion_assets.store import ledger
from ingestion_assets.store.connection import connect
from ingestion_assets.store.ledger import Failed
from ingestion_assets_tests.store import rows

KEYS = ["notes/00", "notes/01"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        register(instance, KEYS)
        yield instance


def _keys(
    schedule: dg.ScheduleDefinition, instance: dg.DagsterInstance, folder: Path, url: str, at: str
) -> list[str]:
    """The partitions that a tick asks for."""
    with dg.build_schedule_context(
        instance,
        scheduled_execution_time=datetime.fromisoformat(at).replace(tzinfo=UTC),
        resources={
            "catalog": CatalogResource(path=str(folder.parent / "sources.yaml")),
            "store": StoreResource(database_url=url),
        },
    ) as context:
        asked: Any = schedule(context)
    return [] if isinstance(asked, dg.SkipReason) else [r.partition_key for r in asked]


def test_a_night_takes_every_partition_once(
    instance: dg.DagsterInstance, folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "MOST_RUNS", 1)
    asked = [
        _keys(nightly_reconcile, instance, folder, database, f"2026-01-01T02:{minute:02}")
        for minute in (0, 5, 10)
    ]
    assert asked == [["notes/00"], ["notes/01"], []]


def test_partitions_that_are_not_registered_yet_wait_for_the_sensor(
    instance: dg.DagsterInstance, folder: Path, database: str
) -> None:
    instance.delete_dynamic_partition("source_bucket", "notes/01")
    at = "2026-01-01T02:00"
    assert _keys(nightly_reconcile, instance, folder, database, at) == ["notes/00"]


def test_texts_that_failed_in_passing_are_retried_and_quarantined_ones_are_not(
    instance: dg.DagsterInstance, folder: Path, database: str
) -> None:
    with connect(database) as connection:
        generation = rows.generation(connection)
        for key, quarantined in zip(KEYS, (True, False), strict=True):
            _, [chunk] = rows.store(connection, f"{key}.md", [key], key=key)
            failed = Failed(chunk.chunk_id, chunk.content_hash, "E", "why", quarantined)
            ledger.record(connection, generation, [failed])
        connection.execute("UPDATE ingestion.ledger SET not_before = now()")
    at = "2026-01-01T09:30"
    assert _keys(hourly_retry, instance, folder, database, at) == ["notes/01"]


def test_partitions_that_dagster_calls_failed_are_retried(
    instance: dg.DagsterInstance, folder: Path, database: str
) -> None:
    @dg.asset(name="sources", partitions_def=dg.DynamicPartitionsDefinition(name="source_bucket"))
    def broken() -> None:
        raise dg.Failure("SourceError: no such folder")

    dg.materialize([broken], instance=instance, partition_key="notes/01", raise_on_error=False)
    at = "2026-01-01T09:30"
    assert _keys(hourly_retry, instance, folder, database, at) == ["notes/01"]


def test_nothing_is_retried_when_nothing_failed(
    instance: dg.DagsterInstance, folder: Path, database: str
) -> None:
    assert _keys(hourly_retry, instance, folder, database, "2026-01-01T09:30") == []
