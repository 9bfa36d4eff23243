"""`ingest doctor` on a project of its own, with real Dagster runs where it mends by them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
from click.testing import CliRunner, Result

from ingestion_assets.cli import main
from ingestion_assets.defs import launch, servers
from ingestion_assets.store import schema
from ingestion_assets_tests.services.faulty_ollama import Double, running

ROOT = Path(__file__).parents[2]
Ingest: TypeAlias = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    (tmp_path / "sources.yaml").write_text("sources:\n  - {name: notes, root: notes}\n")
    (tmp_path / "notes").mkdir()
    for n in range(4):
        (tmp_path / "notes" / f"{n}.md").write_text(f"# Note {n}\n\nThe word is note{n}.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def double():
    with running() as double:
        yield double


@pytest.fixture
def ingest(folder: Path, database: str, double: Double, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """The command in the folder."""
    settings = {
        "INGESTION_DATABASE_URL": database,
        "OLLAMA_HOST": double.url,
        "DAGSTER_HOME": str(launch.prepare_home(folder)),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    servers.database_url.cache_clear()
    servers.ollama_host.cache_clear()
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_what_is_broken_is_found_mended_and_well_again(
    ingest: Ingest, folder: Path, database: str
) -> None:
    assert ingest("run").exit_code == 0
    healthy = ingest("doctor")
    assert (healthy.exit_code, healthy.stdout) == (0, "")
    assert healthy.stderr.endswith("Nothing is wrong.\n")

    (folder / "notes" / "0.md").write_text("# Note 0\n\nIt says something else.\n")
    (folder / "notes" / "1.md").unlink()
    (folder / "notes" / "new.md").write_text("# New\n\nNobody has read it.\n")
    launch.forget_keys(["notes/00"])
    launch.prepare_instance(["gone/00"])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM ingestion.embeddings USING ingestion.chunks c"
            " WHERE c.chunk_id = embeddings.chunk_id AND c.text LIKE '%note3%'"
        )
    kinds = {
        "vectors_missing", "documents_missing", "documents_stale", "documents_orphaned",
        "partitions_missing", "partitions_left_over",
    }  # fmt: skip
    found = ingest("doctor", "--json")
    assert found.exit_code == 1
    assert {each["name"] for each in json.loads(found.stdout)["found"]} == kinds

    told = ingest("doctor", "notes")
    assert told.exit_code == 1
    assert "documents_stale: 1\n" in told.stdout
    assert "- notes/0.md" in told.stdout
    assert "ingest doctor --repair" in told.stderr
    assert "partitions_left_over" not in told.stdout, "it is of another source"

    mended = ingest("doctor", "--repair", "--json")
    assert mended.exit_code == 0, mended.output
    assert {each["name"] for each in json.loads(mended.stdout)["mended"]} == kinds
    assert json.loads(mended.stdout)["found"] == []
    with psycopg.connect(database) as connection:
        uris = connection.execute(
            "SELECT uri FROM ingestion.embeddings JOIN ingestion.chunks USING (chunk_id)"
            " JOIN ingestion.documents USING (document_id) ORDER BY uri"
        ).fetchall()
    assert [uri for (uri,) in uris] == ["0.md", "2.md", "3.md", "new.md"]

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "UPDATE ingestion.baselines SET server_version = '0.12.0',"
            " vectors[2:2][:] = vectors[1:1][:]"
        )
    left = ingest("doctor", "--repair")
    assert left.exit_code == 1, "what cannot be mended is named"
    assert "model_drifted: 1" in left.stdout
    assert "Ollama was 0.12.0, is 0.33.0" in " ".join(left.stdout.split())
    assert ingest("doctor", "--sample", "0").exit_code == 0, "then no server is asked"


def test_database_of_an_earlier_version_is_named_and_brought_up_to_date(
    ingest: Ingest, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA ingestion CASCADE")
    with monkeypatch.context() as earlier:
        names = schema._migrations()[:-1]
        earlier.setattr(schema, "_migrations", lambda: names)
        schema.migrate(database)
    found = ingest("doctor")
    assert found.exit_code == 1
    assert found.stdout.startswith("migrations_unfinished: 1\n")
    mended = ingest("doctor", "--repair", "--json")
    assert [each["name"] for each in json.loads(mended.stdout)["mended"]] == [
        "migrations_unfinished"
    ]


def test_unknown_source_is_refused(ingest: Ingest) -> None:
    refused = ingest("doctor", "nowhere")
    assert refused.exit_code == 2
    assert "no source is named 'nowhere'" in refused.stderr
