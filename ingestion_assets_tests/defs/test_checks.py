import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from ingestion_assets.defs import build
from ingestion_assets.defs.partitions import register
from ingestion_assets.defs.report import table
from ingestion_assets.settings import Settings
from ingestion_assets_tests.services.faulty_ollama import Double

Run = Callable[..., dg.ExecuteInProcessResult]

ALL = {
    "every_partition_is_fresh",
    "chunks_are_in_place",
    "tables_agree",
    "every_text_is_embedded",
    "vectors_are_sound",
    "no_text_is_cut",
    "few_texts_are_quarantined",
    "no_text_waits_long",
}


@pytest.fixture
def run(
    folder: Path, database: str, ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Run a job of the project: one partition, or the checks alone."""
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    settings = Settings(
        database_url=database, ollama_host=ollama.url, sources=folder.parent / "sources.yaml"
    )
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, ["notes/00", "notes/01"])

        def execute(key: str | None = "notes/00", **changes: Any) -> dg.ExecuteInProcessResult:
            defs = build.definitions(replace(settings, **changes))
            selection = dg.AssetSelection.checks_for_assets("sources", "chunks", "embeddings")
            checks = dg.define_asset_job("checks", selection=selection)
            project = dg.Definitions.merge(defs, dg.Definitions(jobs=[checks]))
            job = project.resolve_job_def("ingest_job" if key else "checks")
            return job.execute_in_process(
                instance=instance, partition_key=key, raise_on_error=False
            )

        yield execute


def _failed(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The findings of each check that did not pass."""
    failed = {}
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            findings = check.metadata.get("findings")
            assert isinstance(findings, dg.TableMetadataValue)
            failed[check.check_name] = [record.data for record in findings.records]
    return failed


def test_everything_is_as_it_should_be_after_a_run(run: Run) -> None:
    result = run()
    assert result.success
    assert {check.check_name for check in result.get_asset_check_evaluations()} == ALL
    assert _failed(result) == {}


def test_nothing_is_wrong_before_anything_was_ingested(run: Run) -> None:
    result = run(None)
    assert result.success
    assert _failed(result) == {}


def test_text_that_failed_is_named_with_its_document(run: Run, ollama: Double) -> None:
    ollama.break_by({"fault": "F10", "match": "Second 3"})
    run("notes/00")
    failed = _failed(run("notes/01"))
    assert set(failed) == {"every_text_is_embedded", "few_texts_are_quarantined"}
    [finding] = failed["every_text_is_embedded"]
    assert finding["document"] == "notes/3.md"
    assert "Two" in finding["what"]
    assert set(_failed(run(None, quarantine_share=0.5))) == {"every_text_is_embedded"}


def test_chunks_in_disorder_are_not_embedded(run: Run, database: str) -> None:
    run()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE ingestion.chunks SET ordinal = 0")
        connection.execute("DELETE FROM ingestion.embeddings")
    result = run()
    assert not result.success
    assert "shares its position 0" in _failed(result)["chunks_are_in_place"][0]["what"]
    assert not result.asset_materializations_for_node("embeddings")
    assert run("notes/01").success, "another partition is not in its way"


def test_a_check_alone_looks_at_everything(run: Run, database: str) -> None:
    run("notes/00")
    run("notes/01")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM ingestion.documents WHERE uri = '0.md'")
        connection.execute(
            "DELETE FROM ingestion.embeddings WHERE chunk_id IN"
            " (SELECT chunk_id FROM ingestion.chunks LIMIT 1)"
        )
    assert set(_failed(run(None))) == {"chunks_are_in_place", "tables_agree"}


def test_partition_that_was_not_looked_at_lately_is_named(run: Run) -> None:
    run()
    result = run(None, fresh_hours=0.0)
    assert _failed(result)["every_partition_is_fresh"][0]["document"] == "notes/00"
    [check] = [
        check
        for check in result.get_asset_check_evaluations()
        if check.check_name == "every_partition_is_fresh"
    ]
    assert check.metadata["never_run"].value == 1


def test_longer_texts_than_the_model_reads_are_found(run: Run, database: str) -> None:
    run()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE ingestion.chunks SET tokens = 300 WHERE ordinal = 0")
    assert set(_failed(run(None))) == {"no_text_is_cut"}


def test_an_event_stays_small_whatever_was_found() -> None:
    records = [{"uri": "u" * 1000, "why": "w" * 1000} for _ in range(1000)]
    value = table("failures", records)["failures"]
    assert 10 < len(value.records) <= 50
    assert len(json.dumps([record.data for record in value.records])) < 10_000
    assert value.records[0].data["uri"].endswith("…")
