import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from ingestion_assets.defs import sensors
from ingestion_assets.defs.partitions import register
from ingestion_assets.defs.resources import CatalogResource, StoreResource
from ingestion_assets.defs.sensors import (
    Position,
    documents_changed,
    failures_named,
    ledger_sweep,
)
from ingestion_assets.store import looks
from ingestion_assets.store import sources as store_sources
from ingestion_assets.store.connection import connect
from ingestion_assets_tests.defs.conftest import Materialize
from ingestion_assets_tests.store import rows

KEYS = ["notes/00", "notes/01"]

Tick = Callable[[], dg.SensorResult]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Daemon:
    """Evaluates a sensor tick by tick, as Dagster's daemon does, but launches nothing."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path, database: str) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self._catalog = str(folder.parent / "sources.yaml")
        self._database = database

    def tick(self) -> dg.SensorResult:
        with dg.build_sensor_context(
            self.instance,
            cursor=self.cursor,
            resources={
                "catalog": CatalogResource(path=self._catalog),
                "store": StoreResource(database_url=self._database),
            },
        ) as context:
            result = documents_changed(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.dynamic_partitions_requests or ():
            register(self.instance, request.partition_keys)
        self.cursor = result.cursor
        return result

    def asked(self) -> list[str]:
        """The partitions of a tick's requests; the runs are recorded as done."""
        requests = [r for r in self.tick().run_requests or () if isinstance(r, dg.RunRequest)]
        new = [r for r in requests if not self._ran(r)]
        for request in new:
            self.add_run(request.partition_key or "", dg.DagsterRunStatus.SUCCESS, request.run_key)
        return [request.partition_key or "" for request in new]

    def add_run(self, key: str, status: dg.DagsterRunStatus, run_key: str | None = None) -> None:
        tags = {"dagster/partition": key, "dagster/run_key": run_key or ""}
        self.instance.add_run(dg.DagsterRun("ingest_job", status=status, tags=tags))

    def _ran(self, request: dg.RunRequest) -> bool:
        """Dagster drops a request whose run key had a run."""
        tags = {"dagster/run_key": request.run_key or ""}
        return bool(self.instance.get_runs(dg.RunsFilter(tags=tags)))


@pytest.fixture
def daemon(instance: dg.DagsterInstance, folder: Path, database: str) -> Daemon:
    return Daemon(instance, folder, database)


def test_new_sources_are_registered_and_run_once(daemon: Daemon) -> None:
    assert daemon.asked() == KEYS
    assert daemon.instance.get_dynamic_partitions("source_bucket") == KEYS
    assert daemon.asked() == []


@pytest.mark.parametrize("change", ["new", "changed", "deleted"])
def test_the_partition_of_a_changed_document_is_run(
    daemon: Daemon, folder: Path, change: str
) -> None:
    daemon.asked()
    if change == "new":
        (folder / "new.md").write_text("new")
    elif change == "changed":
        (folder / "1.md").write_text("other words")
    else:
        (folder / "1.md").unlink()
    assert len(daemon.asked()) == 1
    assert daemon.asked() == []


def test_the_partitions_of_a_function_are_run_once(daemon: Daemon, folder: Path) -> None:
    (folder.parent / "sources.yaml").write_text(
        "sources: [{name: notes, python: 'no_such_module:pages', buckets: 2}]"
    )
    assert daemon.asked() == KEYS
    assert daemon.asked() == []


PAGES = "sources: [{name: notes, urls: ['http://127.0.0.1:1/'], buckets: 2%s}]"
ROWS = (
    "sources: [{name: notes, postgres: {url_env: NOTES_URL, query:"
    " 'SELECT uri, body AS text, at AS modified_at FROM notes'}, buckets: 2%s}]"
)


def _asked_again(daemon: Daemon) -> list[str]:
    """What is asked for within a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if asked := daemon.asked():
            return asked
        time.sleep(0.1)
    return []


def test_pages_are_asked_for_once_an_interval_and_never_by_the_sensor(
    daemon: Daemon, folder: Path
) -> None:
    (folder.parent / "sources.yaml").write_text(PAGES % "")
    assert daemon.asked() == KEYS
    assert daemon.asked() == []
    (folder.parent / "sources.yaml").write_text(PAGES % ", every: 1.0")
    assert daemon.asked() == KEYS
    assert _asked_again(daemon) == KEYS


def test_pages_that_were_looked_at_in_the_interval_wait_for_the_next(
    daemon: Daemon, folder: Path, database: str
) -> None:
    (folder.parent / "sources.yaml").write_text(PAGES % ", every: 1.0e+9")
    with connect(database) as connection:
        store_sources.register(connection, "notes", "web", 2, {})
        looks.record(connection, "notes/00", [])
    assert daemon.asked() == ["notes/01"]


def test_rows_are_listed_once_an_interval(
    daemon: Daemon, folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTES_URL", database)
    with connect(database) as connection:
        connection.execute("CREATE TABLE notes (uri text, body text, at timestamptz)")
        connection.execute("INSERT INTO notes VALUES ('a', 'words', '2024-01-31')")
        (folder.parent / "sources.yaml").write_text(ROWS % "")
        assert daemon.asked() == ["notes/01"]  # the other one is empty, as it is stored
        connection.execute("UPDATE notes SET at = now()")
        assert daemon.asked() == []
        (folder.parent / "sources.yaml").write_text(ROWS % ", every: 1.0")
        assert daemon.asked() == ["notes/01"]  # at once, as for every change of the settings
        connection.execute("UPDATE notes SET at = now()")
        assert _asked_again(daemon) == ["notes/01"]


def test_a_lost_cursor_runs_nothing_twice(daemon: Daemon) -> None:
    daemon.asked()
    daemon.cursor = None
    assert daemon.asked() == []
    daemon.cursor = '{"version": "of another time"}'
    assert daemon.asked() == []


def test_what_was_taken_away_and_put_back_is_run_again(daemon: Daemon, folder: Path) -> None:
    daemon.asked()
    for _ in range(2):
        (folder / "1.md").rename(folder.parent / "aside.md")
        assert len(daemon.asked()) == 1
        (folder.parent / "aside.md").rename(folder / "1.md")
        assert len(daemon.asked()) == 1


def test_what_ingest_run_has_stored_is_not_run_again(
    daemon: Daemon, materialize: Materialize, folder: Path
) -> None:
    for key in KEYS:
        assert materialize(key=key).success
    assert daemon.asked() == []
    (folder / "1.md").write_text("other words")
    assert len(daemon.asked()) == 1


def test_what_a_backfill_has_stored_is_not_run_again(
    daemon: Daemon, materialize: Materialize, folder: Path
) -> None:
    daemon.asked()
    (folder / "1.md").write_text("other words")
    for key in KEYS:
        assert materialize(key=key).success
    assert daemon.asked() == []
    (folder / "1.md").write_text("words again")
    assert len(daemon.asked()) == 1


@pytest.mark.parametrize("setting", ["domain: new", "chunker: {kind: recursive}"])
def test_changed_settings_are_run_though_the_files_are_stored(
    daemon: Daemon, materialize: Materialize, folder: Path, setting: str
) -> None:
    for key in KEYS:
        assert materialize(key=key).success
    assert daemon.asked() == []
    (folder.parent / "sources.yaml").write_text(
        f"sources:\n  - {{name: notes, root: notes, buckets: 2, {setting}}}\n"
    )
    assert daemon.asked() == KEYS


def test_a_partition_under_way_waits_for_its_end(
    daemon: Daemon, folder: Path, instance: dg.DagsterInstance
) -> None:
    daemon.add_run("notes/00", dg.DagsterRunStatus.STARTED)
    assert daemon.asked() == ["notes/01"]
    assert "notes/00" in (daemon.tick().skip_reason.skip_message or "")  # type: ignore[union-attr]
    [run] = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    instance.report_run_canceled(run)
    assert daemon.asked() == ["notes/00"]


def test_requests_of_a_tick_are_limited_and_the_rest_follows(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "MOST_RUNS", 1)
    assert [daemon.asked(), daemon.asked(), daemon.asked()] == [["notes/00"], ["notes/01"], []]


def test_sources_take_turns_when_time_is_up(
    daemon: Daemon, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "wiki").mkdir()
    (folder.parent / "wiki" / "a.md").write_text("words")
    (folder.parent / "sources.yaml").write_text(
        "sources:\n  - {name: notes, root: notes, buckets: 2}\n  - {name: wiki, root: wiki}\n"
    )
    monkeypatch.setattr(sensors, "SCAN_SECONDS", 0.0)
    assert [daemon.asked(), daemon.asked(), daemon.asked()] == [KEYS, ["wiki/00"], []]


def test_a_source_that_cannot_be_read_is_named_and_stops_no_other(
    daemon: Daemon, folder: Path
) -> None:
    (folder.parent / "sources.yaml").write_text(
        "sources:\n  - {name: lost, root: lost}\n  - {name: notes, root: notes, buckets: 2}\n"
    )
    assert daemon.asked() == KEYS
    assert "lost" in (daemon.tick().skip_reason.skip_message or "")  # type: ignore[union-attr]


def test_partitions_that_are_no_longer_listed_leave_the_cursor(
    daemon: Daemon, folder: Path
) -> None:
    daemon.asked()
    (folder.parent / "sources.yaml").write_text("sources:\n  - {name: notes, root: notes}\n")
    daemon.asked()
    assert set(json.loads(daemon.cursor or "")["digests"]) == {"notes/00"}


def test_a_position_survives_its_cursor() -> None:
    position = Position("notes", {"notes/00": "ab"}, {"cd": 1.5})
    assert Position.parse(position.dump()) == position
    assert Position.parse(None) == Position.parse("[1]") == Position()


def _sweep(instance: dg.DagsterInstance, database: str) -> dg.SensorResult | dg.SkipReason:
    with dg.build_sensor_context(
        instance, resources={"store": StoreResource(database_url=database)}
    ) as context:
        result = ledger_sweep(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def test_the_ledger_is_swept_of_what_has_waited(
    instance: dg.DagsterInstance, database: str
) -> None:
    with connect(database) as connection:
        rows.generation(connection)
        rows.store(connection, "a.md", ["one", "two"])
        assert isinstance(_sweep(instance, database), dg.SkipReason)
        connection.execute("UPDATE ingestion.ledger SET enqueued_at = now() - interval '2 min'")
    assert isinstance(_sweep(instance, database), dg.SkipReason)  # no partition of Dagster's yet
    register(instance, KEYS)
    first, second = _sweep(instance, database), _sweep(instance, database)
    assert isinstance(first, dg.SensorResult)
    assert isinstance(second, dg.SensorResult)
    [request], [again] = first.run_requests or (), second.run_requests or ()
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "notes/00"
    assert request == again


def test_a_failure_is_noted_on_the_asset_with_its_class_and_the_remedy(
    instance: dg.DagsterInstance,
) -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a"]))
    def broken() -> None:
        raise dg.Failure("SourceError: 'notes': no such folder; mount it")

    result = dg.materialize([broken], instance=instance, partition_key="a", raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        sensor_name="failures_named",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    failures_named(context)
    [record] = instance.fetch_observations(broken.key, limit=1).records
    observation = record.asset_observation
    assert observation is not None
    assert observation.partition == "a"
    assert observation.metadata["class"].value == "SourceError"
    assert "mount it" in str(observation.metadata["failed because"].value)
