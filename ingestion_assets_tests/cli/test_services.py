"""Commands start nothing in a folder that is no project, or where nothing is stored."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestion_assets.cli import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A foreign folder, with a sources.yaml by chance."""
    for variable in ("INGESTION_DATABASE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "sources.yaml").write_text("sources: [{name: notes, root: .}]")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("status", "nothing is stored here"),
        ("documents a.md", "nothing is stored here"),
        ("search words", "nothing is stored here"),
        ("answer what", "nothing is stored here"),
        ("attachments", "nothing is stored here"),
        ("detach public.notes", "nothing is stored here"),
        ("sources remove wiki", "no dagster.yaml"),
        ("run", "no dagster.yaml"),
        ("run --plan", "no dagster.yaml"),
        ("rebucket notes 2", "no dagster.yaml"),
        ("up", "no dagster.yaml"),
    ],
)
def test_a_foreign_folder_is_left_as_it_is(folder: Path, command: str, reason: str) -> None:
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 2
    assert reason in result.stderr
    assert [path.name for path in folder.iterdir()] == ["sources.yaml"]
