"""The doctor's findings as asset checks, and the look at the model when a run begins."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from ingestion_assets.defs import build
from ingestion_assets.defs.partitions import register
from ingestion_assets.settings import Settings
from ingestion_assets_tests.services.faulty_ollama import Double

Run = Callable[[str, str | None], dg.ExecuteInProcessResult]
KNOWN = 24  # texts: twelve, alone and in a list


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, ["notes/00", "notes/01"])
        yield instance


@pytest.fixture
def run(
    folder: Path,
    database: str,
    ollama: Double,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run a job of the project, after both partitions were ingested."""
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    settings = Settings(
        database_url=database, ollama_host=ollama.url, sources=folder.parent / "sources.yaml"
    )
    defs = build.definitions(settings)

    def execute(job: str, key: str | None = None) -> dg.ExecuteInProcessResult:
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=key, raise_on_error=False
        )

    for key in ("notes/00", "notes/01"):
        assert execute("ingest_job", key).success
    return execute


def _outcomes(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def _fidelity(instance: dg.DagsterInstance) -> list[dg.AssetCheckEvaluation]:
    """The outcomes that were noted outside of the check, the latest first."""
    key = dg.AssetCheckKey(dg.AssetKey("vector_store"), "embeddings_fidelity")
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    events: list[Any] = [record.event for record in records]
    return [event.dagster_event.event_specific_data for event in events]


def test_checks_pass_where_nothing_is_wrong_and_fail_with_what_is(run: Run, database: str) -> None:
    names = {
        "documents_match_sources", "tables_are_whole", "vectors_match_texts", "embeddings_fidelity",
    }  # fmt: skip
    assert _outcomes(run("doctor_job", None)) == dict.fromkeys(names, True)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE ingestion.documents SET chunked_as = NULL WHERE uri = '1.md'")
        connection.execute(
            "UPDATE ingestion.embeddings e SET embedding = o.embedding"
            " FROM ingestion.embeddings o WHERE o.chunk_id <> e.chunk_id"
        )
        connection.execute("ALTER TABLE ingestion.chunks DISABLE TRIGGER enqueue_inserted")
        connection.execute("UPDATE ingestion.baselines SET vectors[2:2][:] = vectors[1:1][:]")
    result = run("doctor_job", None)
    assert _outcomes(result) == dict.fromkeys(names, False)
    described = {c.check_name: c.description for c in result.get_asset_check_evaluations()}
    assert described["documents_match_sources"] == "chunks_stale: 1, as notes/1.md"
    assert described["tables_are_whole"] == "triggers_missing: 1, as enqueue_inserted"
    assert str(described["vectors_match_texts"]).startswith("vectors_wrong: ")
    assert "Ollama is 0.33.0 as before" in str(described["embeddings_fidelity"])


def test_model_is_looked_at_when_a_run_begins_to_embed_and_once_an_hour(
    run: Run, instance: dg.DagsterInstance, ollama: Double, folder: Path, database: str
) -> None:
    [first] = _fidelity(instance)
    assert first.passed
    sent = ollama.stats()["texts_seen"]
    assert run("ingest_job", "notes/00").success
    assert ollama.stats()["texts_seen"] == sent, "there was nothing to embed"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "UPDATE ingestion.baselines SET compared_at = now() - interval '61 minutes',"
            " vectors[2:2][:] = vectors[1:1][:]"
        )
    assert run("ingest_job", "notes/00").success
    assert ollama.stats()["texts_seen"] == sent, "nor is there an hour later"
    for n in range(6):
        (folder / f"{n}.md").write_text(f"# Note {n}\n\nAnother text.\n")
    assert run("ingest_job", "notes/00").success, "what is stored is not held up"
    drift, _ = _fidelity(instance)
    assert not drift.passed
    assert str(drift.description).startswith("model_drifted: 1, as ")
    assert ollama.stats()["texts_seen"] > sent + KNOWN
    sent = ollama.stats()["texts_seen"]
    assert run("ingest_job", "notes/01").success
    assert sent < ollama.stats()["texts_seen"] < sent + KNOWN, "it was looked at just now"


def test_checks_of_an_empty_store_pass_but_for_what_is_not_ingested(
    folder: Path, database: str, ollama: Double, instance: dg.DagsterInstance
) -> None:
    settings = Settings(
        database_url=database, ollama_host=ollama.url, sources=folder.parent / "sources.yaml"
    )
    job = build.definitions(settings).resolve_job_def("doctor_job")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGESTION_DATABASE_URL", database)
        failed = {
            n for n, ok in _outcomes(job.execute_in_process(instance=instance)).items() if not ok
        }
    assert failed == {"documents_match_sources"}
