"""docs/backups.md, typed as it stands: dump, restore into another database, and go on there."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from ingestion_assets.cli import main
from ingestion_assets.defs import launch, servers
from ingestion_assets.local.postgres import binary
from ingestion_assets.store.connection import connect
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.services.faulty_ollama import Double, running

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "backups.md").read_text()
Ingest: TypeAlias = Callable[..., Result]


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def ingest(
    tmp_path: Path, database: str, double: Double, monkeypatch: pytest.MonkeyPatch
) -> Ingest:
    """The command, in a folder with four documents."""
    (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    (tmp_path / "sources.yaml").write_text("sources:\n  - {name: notes, root: notes, buckets: 2}\n")
    (tmp_path / "notes").mkdir()
    for n in range(4):
        (tmp_path / "notes" / f"{n}.md").write_text(f"# Note {n}\n\nThe word is note{n}.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OLLAMA_HOST", double.url)
    monkeypatch.setenv("DAGSTER_HOME", str(launch.prepare_home(tmp_path)))
    _use(database, monkeypatch)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_a_restored_dump_is_searched_and_nothing_is_embedded_again(
    ingest: Ingest, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ingest("run").exit_code == 0
    assert [_type(line, ingest) for line in _commands("Dump")] == [0]

    with fresh_database(postgres) as other:
        _use(other, monkeypatch)
        *restore, repair = _commands("Restore")
        assert [_type(line, ingest) for line in restore] == [0] * len(restore)
        assert repair == "ingest doctor --repair"
        mended = ingest(*repair.split()[1:])
        assert mended.exit_code == 0, mended.output
        assert re.findall(r"^mended .*", mended.stderr, re.MULTILINE) == [
            "mended partitions_missing: 2"
        ]
        assert launch.partition_keys()[0] == ["notes/00", "notes/01"]
        with connect(other) as connection:
            assert connection.execute("SELECT count(*) FROM ingestion.servers").fetchone() == (0,)

        again = ingest("run", "--json")
        assert [source["embedded"] for source in json.loads(again.stdout)] == [0]
        assert "notes/2.md" in ingest("search", "note2", "-k", "1").stdout


def test_a_newer_database_is_refused_by_every_command_that_would_use_it(
    ingest: Ingest, database: str
) -> None:
    with connect(database) as connection:
        connection.execute("INSERT INTO ingestion.schema_versions VALUES (999, '999_later.sql')")
    for line in ("migrate", "run", "status", "doctor", "search words", "serve -p 0", "worker"):
        refused = ingest(*line.split())
        assert refused.exit_code == 1, line
        assert "Error: the database is at schema version 999" in refused.stderr
        assert "update ingestion-assets" in refused.stderr


def _commands(heading: str) -> list[str]:
    """What a section of the page has typed."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\s*\$ (.*)$", section, re.MULTILINE)


def _type(line: str, ingest: Ingest) -> int:
    program, *arguments = shlex.split(line)
    if program == "ingest":
        return ingest(*arguments).exit_code
    path = f"{binary('pg_dump').parent}:{os.environ['PATH']}"
    return subprocess.run(
        line, shell=True, env={**os.environ, "PATH": path}, check=False
    ).returncode


def _use(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    servers.database_url.cache_clear()
    servers.ollama_host.cache_clear()
