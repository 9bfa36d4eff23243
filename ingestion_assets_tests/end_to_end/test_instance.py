"""Backfill, Terminate, sensor and schedule, of one Dagster that runs from the first test on."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from ingestion_assets.defs import launch
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.end_to_end.installation import Installation, content
from ingestion_assets_tests.end_to_end.project import Project, wait_for
from ingestion_assets_tests.end_to_end.webserver import partition_of
from ingestion_assets_tests.services.faulty_ollama import running

BUCKETS = {"a": 4, "b": 4, "c": 4, "long": 1, "watched": 2, "corpus": 2}
DOCUMENTS, SECTIONS = 40, 20
CANARIES, CHECKS = 4, 5  # known texts: before the first batch of a run, and among its batches
POOL = 2  # runs that embed at once
WATCHED = (0, 2)  # numbers of documents in different buckets
NIGHT = datetime(2026, 1, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, postgres: str, template: str
) -> Iterator[Installation]:
    """A fresh instance, in which nothing has run yet."""
    folder = tmp_path_factory.mktemp("project")
    with fresh_database(postgres, template) as database, running() as double:
        installation = Installation(folder, database, double, BUCKETS)
        installation.start()
        yield installation
        installation.stop()


@pytest.fixture
def installation(started: Installation) -> Installation:
    """The instance, with a healthy Ollama, and nothing in it runs by itself."""
    started.double.reset()
    started.dagster.stop_automation()
    return started


def test_first_runs_of_a_backfill_of_scattered_keys_embed_two_at_a_time(
    installation: Installation,
) -> None:
    keys = {"a/00", "b/02", "c/01"}
    dagster = installation.dagster
    assert dagster.runs() == []
    installation.only("a", "b", "c")
    everywhere = {installation.write(source, n) for source in "abc" for n in range(24)}
    assert len(everywhere) == 12
    installation.double.break_by({"fault": "F13"})
    dagster.backfill(sorted(keys))
    wait_for(lambda: len(dagster.runs()) == len(keys))
    wait_for(lambda: _statuses(installation).count("STARTED") >= POOL)
    # Another job overtakes the run that waits: by its end, Dagster has passed that over.
    overtaking = dagster.launch(job="cleanup_job")
    wait_for(lambda: dagster.status(overtaking) == "SUCCESS")
    assert sorted(_statuses(installation)) == ["QUEUED", "STARTED", "STARTED"]

    installation.double.break_by()
    wait_for(lambda: _statuses(installation) == ["SUCCESS"] * len(keys))
    backfilled = [run for run in dagster.runs() if run["runId"] != overtaking]
    assert {partition_of(run) for run in backfilled} == installation.partitions() == keys
    assert _most_at_once([(run["startTime"], run["endTime"]) for run in backfilled]) == POOL


def test_terminated_run_is_not_retried_and_the_next_embeds_only_the_rest(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    dagster, double = installation.dagster, installation.double
    installation.only("long")
    for n in range(DOCUMENTS):
        sections = (f"## Section {s}\n\nThe word is w{n}x{s}.\n" for s in range(SECTIONS))
        installation.write("long", n, f"# Document {n}\n\n" + "\n".join(sections))
    before = installation.vectors()
    double.break_by({"fault": "F18", "after": 8})  # the rest is never answered
    terminated = dagster.launch("long/00")
    wait_for(lambda: len(installation.vectors()) > len(before))
    # As any other command does, which must not take it for one that was lost.
    monkeypatch.setenv("DAGSTER_HOME", str(installation.project.folder / ".dagster_home"))
    monkeypatch.setenv("DAGSTER_PG_URL", installation.database)
    launch.prepare_instance([])
    assert dagster.status(terminated) == "STARTED"
    dagster.terminate(terminated)
    wait_for(lambda: dagster.status(terminated) not in ("STARTED", "CANCELING"))
    assert dagster.status(terminated) == "CANCELED"
    assert not {"ExecutionStepUpForRetryEvent", "ExecutionStepRestartEvent"} & set(
        dagster.events(terminated)
    )
    committed = installation.vectors()
    left = DOCUMENTS * SECTIONS - (len(committed) - len(before))
    assert left > 0

    double.break_by()
    sent = double.stats()["texts_seen"]
    following = dagster.launch("long/00")
    wait_for(lambda: dagster.status(following) == "SUCCESS")
    assert committed.items() <= installation.vectors().items()
    assert len(installation.vectors()) == len(committed) + left
    assert 0 <= double.stats()["texts_seen"] - sent - left <= CANARIES + CHECKS
    statuses = [run["status"] for run in dagster.runs("long/00")]
    assert statuses == ["SUCCESS", "CANCELED"]


def test_same_tables_from_command_backfill_and_schedule(
    installation: Installation, postgres: str, template: str
) -> None:
    for n in range(8):
        installation.write("corpus", n, f"# Note {n}\n\nThe word is w{n}.\n\n## Same\n\nSame.\n")
    installation.only("corpus")
    dagster, keys = installation.dagster, ["corpus/00", "corpus/01"]
    _empty(installation.database)
    dagster.backfill(keys)
    # The daemon begins a backfill after up to half a minute: the commands run meanwhile.
    left = [
        _left_by_command(installation.project, postgres, template, *options)
        for options in ((), ("--sequential",))
    ]
    wait_for(lambda: all(_of(installation, key) == ["SUCCESS"] for key in keys))
    left.append(content(installation.database))
    _empty(installation.database)
    for key in dagster.asked_by("nightly_reconcile", NIGHT):
        dagster.launch(key)
    wait_for(lambda: all(_of(installation, key) == ["SUCCESS"] * 2 for key in keys))
    left.append(content(installation.database))
    assert len(left[0]["documents"]) == 8
    assert len(left[0]["vectors"]) == len(left[0]["chunks"]) == 16
    assert left[0]["ledger"] == []
    assert all(other == left[0] for other in left[1:])


def test_sensor_asks_once_for_the_same_files_whatever_restarts(
    installation: Installation,
) -> None:
    installation.only("watched")
    untouched, edited = (installation.write("watched", n) for n in WATCHED)
    installation.dagster.start_sensor("documents_changed")
    wait_for(lambda: _of(installation, untouched) == _of(installation, edited) == ["SUCCESS"])
    installation.stop()
    installation.write("watched", WATCHED[1], "# Edited\n\nWhile nobody watched.\n")
    installation.start()
    wait_for(lambda: _of(installation, edited) == ["SUCCESS", "SUCCESS"])
    ticks = len(installation.dagster.ticks("documents_changed"))
    wait_for(lambda: _ticked(installation) > ticks)
    assert _of(installation, edited) == ["SUCCESS", "SUCCESS"]
    assert _of(installation, untouched) == ["SUCCESS"]


def _of(installation: Installation, partition_key: str) -> list[str]:
    """How a partition's runs stand, the newest first."""
    return [run["status"] for run in installation.dagster.runs(partition_key)]


def _statuses(installation: Installation) -> list[str]:
    """How the runs stand that are for a partition."""
    return [run["status"] for run in installation.dagster.runs() if partition_of(run)]


def _ticked(installation: Installation) -> int:
    """Ticks of the sensor that have ended."""
    ticks = installation.dagster.ticks("documents_changed")
    return len(ticks) - ticks.count("STARTED")


def _most_at_once(spans: list[tuple[float, float]]) -> int:
    """How many of some spans of time overlap at most; one may begin as another ends."""
    return max(sum(start <= at < end for start, end in spans) for at, _ in spans)


def _left_by_command(
    project: Project, postgres: str, template: str, *options: str
) -> dict[str, list[Any]]:
    """What `ingest run` leaves in a database of its own."""
    with fresh_database(postgres, template) as database:
        project.run("run", *options, environment={"INGESTION_DATABASE_URL": database})
        return content(database)


def _empty(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DROP SCHEMA ingestion CASCADE")
    migrate(database)
