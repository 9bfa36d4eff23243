"""Runs on two Celery workers, of which one is lost."""

from collections.abc import Iterator
from signal import SIGKILL
from typing import NamedTuple

import dagster as dg
import psycopg
import pytest

from ingestion_assets.defs import launch
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.end_to_end.fleet import Fleet, missing
from ingestion_assets_tests.end_to_end.project import Project, wait_for
from ingestion_assets_tests.services.faulty_ollama import Double, running

BUSY = {"fault": "F13"}  # to every request, until it is healthy again
KEYS = ["notes/00", "notes/01"]
DOCUMENTS = 12
NO_RETRY = {"dagster/max_retries": "0"}

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")


class Started(NamedTuple):
    """A fleet of two workers, and the Ollama of each."""

    fleet: Fleet
    doubles: list[Double]
    database: str


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, postgres: str, template: str
) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("fleet")
    listing = "sources: [{name: notes, root: documents, buckets: 2}]"
    with fresh_database(postgres, template) as database, running() as one, running() as other:
        environment = {"INGESTION_DATABASE_URL": database, "INGEST_BREAKER_SECONDS": "1"}
        project = Project(folder, listing, environment)
        with Fleet(project, [one.url, other.url]) as fleet:
            fleet.start()
            fleet.dagster.stop_automation()  # before there is anything that it would run
            for n in range(DOCUMENTS):
                project.write(f"{n}.md", f"# Note {n}\n\nThe word is w{n}.\n")
            yield Started(fleet, [one, other], database)


@pytest.fixture
def fleet(started: Started) -> Fleet:
    """The same fleet, with Ollamas that are too busy to answer."""
    for double in started.doubles:
        double.reset(rules=[BUSY])
    return started.fleet


def test_partition_of_a_lost_host_is_finished_by_another(fleet: Fleet, started: Started) -> None:
    for key in KEYS:
        fleet.dagster.launch(key)
    wait_for(lambda: all(map(_asked, started.doubles)))
    fleet.end("worker-1", SIGKILL)
    started.doubles[0].break_by()
    wait_for(lambda: all(_statuses(fleet, key)[0] == "SUCCESS" for key in KEYS))
    assert sorted(_statuses(fleet, key) for key in KEYS) == [["SUCCESS"], ["SUCCESS", "FAILURE"]]
    assert _found(started.database) == (DOCUMENTS, DOCUMENTS)
    fleet.start_worker(1)


def test_terminated_run_is_canceled_and_not_launched_again(fleet: Fleet, started: Started) -> None:
    _forget(started.database)
    terminated = fleet.dagster.launch(KEYS[0])
    wait_for(lambda: any(map(_asked, started.doubles)))
    fleet.dagster.terminate(terminated)
    wait_for(lambda: fleet.dagster.status(terminated) not in ("STARTED", "CANCELING"))
    assert fleet.dagster.status(terminated) == "CANCELED"
    for double in started.doubles:
        double.break_by()
    following = fleet.dagster.launch(KEYS[0])
    wait_for(lambda: fleet.dagster.status(following) == "SUCCESS")
    assert _statuses(fleet, KEYS[0])[:2] == ["SUCCESS", "CANCELED"]


def test_run_that_came_to_no_worker_is_not_waited_for(
    fleet: Fleet, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DAGSTER_HOME", "INGEST_REDIS_URL", "INGESTION_DATABASE_URL"):
        monkeypatch.setenv(name, fleet.environment[name])
    with dg.DagsterInstance.get() as instance:
        starting = dg.DagsterRunStatus.STARTING
        old, new = (
            instance.add_run(dg.DagsterRun("ingest_job", status=starting, tags=NO_RETRY)).run_id
            for _ in range(2)
        )
        with psycopg.connect(started.database) as connection:
            connection.execute(
                "UPDATE runs SET update_timestamp = update_timestamp - interval '1 hour'"
                " WHERE run_id = %s",
                (old,),
            )
        launch.prepare_instance([])
        assert [fleet.dagster.status(run) for run in (old, new)] == ["FAILURE", "STARTING"]
        instance.delete_run(new)


def _asked(double: Double) -> bool:
    """Whether a run is at its embeddings."""
    return bool(double.stats()["requests"].get("/api/embed"))


def _statuses(fleet: Fleet, partition_key: str) -> list[str]:
    """How a partition's runs stand, the newest first."""
    return [run["status"] for run in fleet.dagster.runs(partition_key)]


def _found(database: str) -> tuple[int, int]:
    """How many vectors there are, and of how many chunks."""
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT count(*), count(DISTINCT chunk_id) FROM ingestion.embeddings"
        ).fetchone()
    assert found
    return found[0], found[1]


def _forget(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DROP SCHEMA ingestion CASCADE")
    migrate(database)
