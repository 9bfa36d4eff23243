"""`ingest export` writes collections, and says what it did."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from ingestion_assets.cli import main
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets_tests.export.given import document

Ingest: TypeAlias = Callable[..., Result]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """Two collections of two chunks each; one of them has a domain that is a pattern."""
    with connect(database) as connection:
        document(connection, "a.md", "people", "pay")
        document(connection, "b.md", "p*", "pay", key="wiki/00")
        yield connection


@pytest.fixture
def ingest(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    return lambda *arguments: CliRunner().invoke(main, ["export", *arguments])


def test_everything_goes_to_the_folder_collections(ingest, connection, tmp_path):
    result = ingest()
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("2 collections, 4 chunks in")
    assert "4 files written" in result.stdout
    assert (tmp_path / "collections" / "people" / "pay.parquet").exists()
    assert "0 files written (0 bytes), 4 unchanged, 0 removed" in ingest().stdout


def test_options_choose_place_format_and_collection(ingest, connection, tmp_path):
    options = ("--to", "out", "--format", "json", "--json")
    done = json.loads(ingest(*options, "--domain", "p*").stdout)
    assert [path.split("~")[0] for path in done["written"]] == ["p"]
    assert json.loads(ingest(*options, "--category", "pay").stdout)["written"] == [
        "people/pay.json"
    ]
    done = json.loads(ingest("--to", "other", "--source", "wiki", "--json").stdout)
    assert (done["collections"], done["chunks"], len(done["written"])) == (1, 2, 2)


def test_the_environment_says_where_and_which(ingest, connection, tmp_path, monkeypatch):
    monkeypatch.setenv("INGEST_COLLECTIONS_URL", str(tmp_path / "there"))
    monkeypatch.setenv("INGEST_COLLECTIONS_FORMATS", "parquet")
    monkeypatch.setenv("INGEST_COLLECTIONS_INCLUDE", "people/*")
    assert json.loads(ingest("--json").stdout)["written"] == ["people/pay.parquet"]
    assert (tmp_path / "there" / "people" / "pay.parquet").exists()


def test_chunks_without_a_vector_are_named_with_exit_code_1(ingest, connection):
    document(connection, "c.md", "people", "pay", ["waits"], embedded=False)
    result = ingest()
    assert (result.exit_code, "1 chunks have no vector yet" in result.stderr) == (1, True)
    assert result.stdout.startswith("2 collections, 4 chunks")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--domain", "peple"], "no collection fits"),
        (["--to", "s3://bucket"], "s3fs"),
        (["--format", "csv"], "csv"),
    ],
)
def test_a_wrong_option_is_exit_code_2_with_the_remedy(ingest, connection, options, named):
    result = ingest(*options)
    assert (result.exit_code, named in result.stderr) == (2, True)
