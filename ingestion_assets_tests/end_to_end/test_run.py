"""`ingest run` as a user types it: again, killed, interrupted, on text that nobody here wrote."""

import json
import signal
import subprocess
import time
from importlib.metadata import distributions
from pathlib import Path

import psycopg
import pytest

from ingestion_assets_tests.end_to_end.project import Project
from ingestion_assets_tests.services.faulty_ollama import Double, running

SOURCES = """
sources:
  - name: handbook
    root: documents
"""
DOCUMENTS, SECTIONS = 120, 20
CANARIES = 4  # texts that prove a model before the first batch
CHECKS = 2 + 3  # known texts that travel in lists, and at the end, to show that these are in order


@pytest.fixture
def project(tmp_path: Path, database: str) -> Project:
    return Project(tmp_path, SOURCES, {"INGESTION_DATABASE_URL": database})


@pytest.fixture
def big(project: Project) -> Project:
    """One partition of 2,400 chunks, no two alike."""
    for n in range(DOCUMENTS):
        sections = (f"## Section {s}\n\nThe word is w{n}x{s}.\n" for s in range(SECTIONS))
        project.write(f"{n:03d}.md", f"# Document {n}\n\n" + "\n".join(sections))
    return project


def test_second_run_sends_no_text(project: Project, embedder: str) -> None:
    project.environment["OLLAMA_HOST"] = embedder
    project.write("one.md", "# One\n\nA first document.\n")
    first, second = (json.loads(project.run("run", "--json").stdout)[0] for _ in range(2))
    assert (first["new"], first["embedded"]) == (1, 1)
    assert (second["new"], second["embedded"], second["chunks"]) == (0, 0, 1)


def test_killed_run_keeps_what_it_committed_and_embeds_only_the_rest(
    big: Project, database: str
) -> None:
    with running(request_ms=20, text_ms=2) as double:
        big.environment["OLLAMA_HOST"] = double.url
        process = _start(big)
        _wait_for_vectors(database, 500)
        process.kill()
        process.wait()
        committed = _vectors(database)
        assert 500 <= len(committed) < DOCUMENTS * SECTIONS
        sent = double.stats()["texts_seen"]

        big.run("run")
        assert len(_vectors(database)) == DOCUMENTS * SECTIONS
        assert _wrong(database, double) == []
        assert committed.items() <= _vectors(database).items()
        again = double.stats()["texts_seen"] - sent - CANARIES
        assert 0 <= again - (DOCUMENTS * SECTIONS - len(committed)) <= CHECKS


def test_interrupted_run_stops_and_keeps_what_is_done(big: Project, database: str) -> None:
    with running(request_ms=20, text_ms=2) as double:
        big.environment["OLLAMA_HOST"] = double.url
        process = _start(big)
        _wait_for_vectors(database, 300)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 1
        assert len(_vectors(database)) >= 300
        assert _run_statuses(database) == {"CANCELED"}


def test_one_bad_text_costs_one_text_until_it_is_retried(project: Project) -> None:
    for n in range(100):
        project.write(f"{n}.md", f"# Note {n}\n\nThe word is w{n}.\n")
    with running() as double:
        project.environment["OLLAMA_HOST"] = double.url
        double.break_by({"fault": "F10", "match": "w42."})
        result = project.run("run", check=False)
        assert result.returncode == 1
        assert "1 chunks cannot be embedded; see: ingest status --failed" in result.stderr
        listed = project.run("status", "--failed").stdout
        assert "handbook/42.md" in listed
        assert "PoisonTextError" in listed

        sent = double.stats()["texts_seen"]
        assert project.run("run", check=False).returncode == 1
        assert double.stats()["texts_seen"] == sent

        double.break_by()
        [summary] = json.loads(project.run("run", "--retry-failed", "--json").stdout)
        assert (summary["embedded"], summary["quarantined"]) == (1, 0)
        assert double.stats()["texts_seen"] == sent + 1 + CANARIES
    assert "No text has failed" in project.run("run", "--retry-failed").stderr


def test_texts_without_a_server_are_named_with_the_reason(project: Project) -> None:
    project.write("one.md", "# One\n\nA first document.\n")
    with running() as double:
        project.environment |= {"OLLAMA_HOST": double.url, "INGEST_DEADLINE": "1"}
        project.run("run")
        project.write("two.md", "# Two\n\nA second document.\n")
        double.kill()
        result = project.run("run", check=False)
    assert result.returncode == 1
    assert "no answer for 1 s (INGEST_DEADLINE)" in result.stderr
    assert "httpcore" not in result.stderr


def test_search_refuses_another_model_of_the_same_name(project: Project, embedder: str) -> None:
    project.write("one.md", "# One\n\nA first document.\n")
    project.environment["OLLAMA_HOST"] = embedder
    project.run("run")
    with running() as double:
        project.environment["OLLAMA_HOST"] = double.url
        result = project.run("search", "document", check=False)
    assert result.returncode == 1
    assert "what is stored was made with" in result.stderr


def test_metadata_of_installed_distributions_is_ingested(project: Project) -> None:
    with running() as double:
        project.environment["OLLAMA_HOST"] = double.url
        names = {d.metadata["Name"]: d.read_text("METADATA") for d in distributions()}
        for name, text in names.items():
            project.write(f"{name}.METADATA", text or "")
        # The double counts marks that the real tokenizer drops, so a few texts are too long.
        [summary] = json.loads(project.run("run", "--json", check=False).stdout)
    assert summary["documents"] == summary["new"] == len(names)
    assert summary["embedded"] + summary["reused"] + summary["quarantined"] == summary["chunks"]
    assert summary["chunks"] > len(names)
    named = json.loads(project.run("status", "--failed", "--json").stdout)
    assert len(named["texts"]) == summary["quarantined"] < 20
    assert {failure["error_class"] for failure in named["texts"]} <= {"TextTooLongError"}


def _start(project: Project) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        project.command("run"),
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for_vectors(database: str, n: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if len(_vectors(database)) >= n:
            return
        time.sleep(0.05)
    raise AssertionError(f"fewer than {n} vectors after two minutes")


def _vectors(database: str) -> dict[str, str]:
    """When each chunk was embedded."""
    with psycopg.connect(database) as connection:
        if connection.execute("SELECT to_regclass('ingestion.embeddings')").fetchone() == (None,):
            return {}
        rows = connection.execute("SELECT chunk_id, embedded_at FROM ingestion.embeddings")
        return {str(chunk): str(at) for chunk, at in rows}


def _wrong(database: str, double: Double) -> list[str]:
    """Chunks whose vector is not the one of their text."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT heading || E'\\n\\n' || text, embedding::float4[]"
            " FROM ingestion.chunks JOIN ingestion.embeddings USING (chunk_id)",
            binary=True,
        )
        return [text for text, vector in rows if double.vector(text).tolist() != vector]


def _run_statuses(database: str) -> set[str]:
    with psycopg.connect(database) as connection:
        return {status for (status,) in connection.execute("SELECT status FROM public.runs")}
