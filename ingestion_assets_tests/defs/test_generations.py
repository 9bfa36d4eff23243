"""Another model through Dagster: a job opens it, runs fill it, an hourly job tends it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.defs import build
from ingestion_assets.defs.jobs import COUNTED
from ingestion_assets.defs.partitions import register
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations.listing import Listed, generations
from ingestion_assets_tests.services.faulty_ollama import Double

KEYS = ["notes/00", "notes/01"]

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, KEYS)
        yield instance


@pytest.fixture
def run(
    folder: Path,
    database: str,
    ollama: Double,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run a job of the project, whose settings name all-minilm throughout."""
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    ollama.reset(models={"other": 128})
    project = build.definitions(
        Settings(
            database_url=database, ollama_host=ollama.url, sources=folder.parent / "sources.yaml"
        )
    )

    def execute(job: str, key: str | None = None, **config: Any) -> dg.ExecuteInProcessResult:
        ops = {"open_beside": {"config": config}} if config else {}
        return project.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=key, run_config={"ops": ops}, raise_on_error=False
        )

    return execute


@pytest.fixture
def connection(database: str, run: Run) -> Iterator[Connection]:
    """Both partitions are embedded."""
    for key in KEYS:
        assert run("ingest_job", key).success
    with connect(database) as connection:
        yield connection


def _states(connection: Connection) -> list[str]:
    return [each.generation.status for each in generations(connection)]


def _complete(listed: Listed) -> bool:
    return listed.coverage is not None and 0 < listed.coverage.embedded == listed.coverage.chunks


def test_a_job_opens_it_runs_fill_both_and_the_old_settings_open_no_third(run, connection, folder):
    assert run("reembed", model="other").success
    assert _states(connection) == ["active", "building"]
    filled = run("embed_job", KEYS[0])
    [event] = [e for e in filled.all_events if e.is_step_materialization]
    metadata = event.step_materialization_data.materialization.metadata
    assert [r.data["model"] for r in metadata["generations"].records] == ["all-minilm", "other"]
    assert metadata["embedded"].value == metadata["dagster/row_count"].value > 0
    assert _states(connection) == ["active", "building"]
    assert run("embed_job", KEYS[1]).success
    assert _states(connection) == ["retired", "active"]
    (folder / "later.md").write_text("# Later\n\nIt came later.\n")
    for key in KEYS:
        assert run("ingest_job", key).success
    assert _states(connection) == ["retired", "active"]
    assert all(map(_complete, generations(connection)))


def test_what_cannot_be_filled_is_named_and_what_is_searched_is_complete(
    run, connection, ollama, folder
):
    assert run("reembed", model="other").success
    ollama.reset()  # without the other model
    (folder / "later.md").write_text("# Later\n\nIt came later.\n")
    results = [run("ingest_job", key) for key in KEYS]
    errors = [
        event.step_failure_data.user_failure_data.description
        for result in results
        for event in result.all_events
        if event.is_step_failure
    ]
    assert len(errors) == 2
    assert all("ollama pull other" in error for error in errors)
    assert _complete(generations(connection)[0])


def test_the_hourly_job_completes_counts_and_drops(run, connection, instance):
    assert run("reembed", model="other", activate=False).success
    for key in KEYS:
        assert run("embed_job", key).success
    assert run("generations").success
    [record] = instance.event_log_storage.get_asset_check_execution_history(COUNTED, limit=1)
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "generation 2: it waits for" in evaluation.description
    connection.execute("""UPDATE ingestion.generations SET plan = plan || '{"activate": true}'""")
    assert run("generations").success
    assert _states(connection) == ["retired", "active"]
    connection.execute(
        "UPDATE ingestion.generations SET drop_after = now() WHERE drop_after IS NOT NULL"
    )
    assert run("generations").success
    assert _states(connection) == ["dropped", "active"]
