"""The configuration of a fleet, and its launcher with a Redis but without workers."""

import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from ingestion_assets import defs
from ingestion_assets.defs.fleet import prepare_fleet
from ingestion_assets.errors import ConfigError
from ingestion_assets.local.redis import local_redis
from ingestion_assets_tests.end_to_end.fleet import missing

ROOT = Path(__file__).parents[2]

needs_fleet = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("dagster.yaml", "dagster-celery.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def test_fleet_is_configured_as_one_machine_but_for_launcher_and_sizes() -> None:
    alone, fleet = (_read(ROOT / name) for name in ("dagster.yaml", "dagster-celery.yaml"))
    assert fleet.pop("run_launcher")["class"] == "CeleryLauncher"
    runs, pools = (fleet["concurrency"][name] for name in ("runs", "pools"))
    assert pools.pop("default_limit") == runs["max_concurrent_runs"]
    del alone["concurrency"]["pools"]["default_limit"]
    for config in (alone, fleet):
        del config["run_monitoring"]["poll_interval_seconds"]
    assert fleet == alone


@needs_fleet
def test_every_process_has_a_home_of_its_own_and_knows_the_number_of_workers(
    project: Path,
) -> None:
    dagster, workers = prepare_fleet(project, 3)
    assert len({dagster, *workers}) == 4
    for home in (dagster, *workers):
        concurrency = _read(home / "dagster.yaml")["concurrency"]
        assert concurrency["runs"]["max_concurrent_runs"] == 3
        assert concurrency["pools"]["default_limit"] == 3


def test_missing_extra_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(defs, "celery", raising=False)
    monkeypatch.delitem(sys.modules, "ingestion_assets.defs.celery", raising=False)
    monkeypatch.setitem(sys.modules, "dagster_celery.defaults", None)
    with pytest.raises(ConfigError, match=r"ingestion-assets\[celery\]"):
        prepare_fleet(project, 2)


@needs_fleet
def test_launcher_asks_for_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    from ingestion_assets.defs.celery import CeleryLauncher

    monkeypatch.delenv("INGEST_REDIS_URL", raising=False)
    with pytest.raises(ConfigError, match="INGEST_REDIS_URL is not set"):
        CeleryLauncher()


@needs_fleet
def test_run_is_not_given_up_while_no_worker_answers(
    project: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingestion_assets.defs import celery

    home, _ = prepare_fleet(project, 1)
    monkeypatch.setattr(celery, "_GRACE", 0.0)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    with local_redis(project) as redis:
        monkeypatch.setenv("INGEST_REDIS_URL", redis.address)
        with dg.DagsterInstance.get() as instance:
            tags = {"dagster-celery/task_id": "of-a-lost-worker"}
            run = dg.DagsterRun("ingest_job", status=dg.DagsterRunStatus.STARTED, tags=tags)
            health = instance.run_launcher.check_run_worker_health(run)
    assert health.status.value == "RUNNING"


def _read(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config
