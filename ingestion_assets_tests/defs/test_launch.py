import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import dagster as dg
import pytest

from ingestion_assets.defs import launch
from ingestion_assets.defs.resources import CatalogResource, StoreResource
from ingestion_assets.defs.sensors import documents_changed
from ingestion_assets.errors import ConfigError

Tags: TypeAlias = dict[str, str]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    monkeypatch.setenv("DAGSTER_HOME", str(launch.prepare_home(tmp_path)))
    return tmp_path


@pytest.fixture
def gone(tmp_path: Path) -> Tags:
    """The tags of a run whose code server was killed."""
    server = {"host": "localhost", "socket": str(tmp_path / "gone")}
    return {".dagster/grpc_info": json.dumps(server)}


def test_home_needs_the_projects_dagster_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no dagster\.yaml"):
        launch.prepare_home(tmp_path)


def test_home_links_the_configuration_and_may_be_prepared_again(project: Path) -> None:
    home = launch.prepare_home(project)
    assert (home / "dagster.yaml").resolve() == project / "dagster.yaml"


def test_partitions_are_registered_once_and_the_pool_is_limited(project: Path) -> None:
    for _ in range(2):
        launch.prepare_instance(["notes/00", "notes/01"])
    with dg.DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions("source_bucket") == ["notes/00", "notes/01"]
        limits = {p.name: p.limit for p in instance.event_log_storage.get_pool_limits()}
    assert limits == {"ollama": 2}


def test_run_of_a_dead_process_is_marked_as_failed(project: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        dead = f"{os.uname().nodename}/{process.pid}"
        process.send_signal(signal.SIGKILL)
    alive = f"{os.uname().nodename}/{os.getpid()}"
    with dg.DagsterInstance.get() as instance:
        runs = [_started(instance, owner) for owner in (dead, alive, "elsewhere/1")]
        launch.prepare_instance([])
        statuses = [run.status for i in runs if (run := instance.get_run_by_id(i))]
    assert [status.value for status in statuses] == ["FAILURE", "STARTED", "STARTED"]


def test_run_of_a_dagster_that_was_killed_is_marked_as_failed(project: Path, gone: Tags) -> None:
    with dg.DagsterInstance.get() as instance:
        here, elsewhere = (_add_started(instance, gone) for _ in range(2))
        (project / ".dagster_home" / "storage" / here).mkdir(parents=True)
        launch.prepare_instance([])
        statuses = [run.status for i in (here, elsewhere) if (run := instance.get_run_by_id(i))]
    assert [status.value for status in statuses] == ["FAILURE", "STARTED"]


def test_a_sensor_sees_to_it_where_no_command_of_ours_started_dagster(
    project: Path, gone: Tags, database: str
) -> None:
    (project / "sources.yaml").write_text("sources: [{name: notes, root: .}]")
    resources = {
        "catalog": CatalogResource(path=str(project / "sources.yaml")),
        "store": StoreResource(database_url=database),
    }
    with dg.DagsterInstance.get() as instance:
        lost = _add_started(instance, gone)
        (project / ".dagster_home" / "storage" / lost).mkdir(parents=True)
        with dg.build_sensor_context(instance, resources=resources) as context:
            documents_changed(context)
        run = instance.get_run_by_id(lost)
        limits = {p.name: p.limit for p in instance.event_log_storage.get_pool_limits()}
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert limits == {"ollama": 2}


def test_all_runs_are_canceled_though_one_is_of_a_server_that_is_gone(
    project: Path, gone: Tags
) -> None:
    with dg.DagsterInstance.get() as instance:
        tags: list[Tags] = [{}, gone, {}]
        runs = [_add_started(instance, of_run) for of_run in tags]
        launch.cancel_runs()
        statuses = [run.status for i in runs if (run := instance.get_run_by_id(i))]
    assert [status.value for status in statuses] == ["CANCELING"] * 3


def _started(instance: dg.DagsterInstance, owner: str) -> str:
    return _add_started(instance, {"ingestion/process": owner})


def _add_started(instance: dg.DagsterInstance, tags: Tags) -> str:
    run = dg.DagsterRun("ingest_job", status=dg.DagsterRunStatus.STARTED, tags=tags)
    return instance.add_run(run).run_id
