"""`ingest sources` lists what sources.yaml has, checks it, and adds to it."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestion_assets.cli import main
from ingestion_assets.sources import load


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My Notes").mkdir()
    (tmp_path / "My Notes" / "a.md").write_text("# A\n")
    (tmp_path / "sources.yaml").write_text("sources:\n  - {name: notes, root: My Notes}\n")
    return tmp_path


def _ingest(*arguments: str):
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "80"})


def test_sources_are_listed_with_the_number_of_their_files(folder: Path) -> None:
    result = _ingest("sources")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[:3] == ["notes", "1", "1"]


def test_a_source_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "My Notes").rename(folder / "elsewhere")
    result = _ingest("sources", "--json")
    assert result.exit_code == 1
    assert "My Notes" in json.loads(result.stdout)[0]["problem"]


def test_a_source_without_any_file_is_named(folder: Path) -> None:
    (folder / "sources.yaml").write_text(
        'sources:\n  - {name: notes, root: My Notes, include: ["*.txt"]}\n'
    )
    assert "no document of it matches *.txt" in _ingest("sources").stderr


def test_a_function_is_imported_but_not_called(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "not_called.py").write_text("def pages():\n    raise AssertionError\n")
    (folder / "sources.yaml").write_text("sources: [{name: wiki, python: 'not_called:pages'}]")
    result = _ingest("sources")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["wiki", "-", "1", "not_called:pages"]


def test_a_function_that_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "sources.yaml").write_text("sources: [{name: wiki, python: 'no_module:pages'}]")
    result = _ingest("sources")
    assert result.exit_code == 1
    assert "'no_module:pages' cannot be imported" in result.stderr


def test_a_wrong_file_is_a_configuration_error(folder: Path) -> None:
    (folder / "sources.yaml").write_text("sources: []\n")
    assert _ingest("sources").exit_code == 2


def test_a_folder_is_added_under_its_own_name(folder: Path) -> None:
    (folder / "Team Wiki").mkdir()
    result = _ingest("sources", "add", "Team Wiki")
    assert result.exit_code == 0
    assert [(s.name, s.root.name) for s in load(folder / "sources.yaml")] == [
        ("notes", "My Notes"),
        ("team-wiki", "Team Wiki"),
    ]


def test_a_name_that_is_taken_is_refused(folder: Path) -> None:
    before = (folder / "sources.yaml").read_text()
    result = _ingest("sources", "add", "My Notes", "--name", "notes")
    assert result.exit_code == 2
    assert (folder / "sources.yaml").read_text() == before
