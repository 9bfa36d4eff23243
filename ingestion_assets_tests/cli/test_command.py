"""docs/command.md has every command, and every option of `ingest run`."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ingestion_assets.cli import main
from ingestion_assets.cli.group import COMMANDS
from ingestion_assets.cli.run import run
from ingestion_assets_tests.deploy.given import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command.md").read_text()


def _text(page: Path) -> str:
    """A page, with the lines of a long command joined."""
    return re.sub(r"\\\n(?:> *)?", " ", page.read_text())


TYPED = {
    line.partition(" #")[0].strip()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for line in re.findall(r"^ *\$ (?:[A-Z_]+=\S+ )*(?:\S*/)?ingest (.*)$", _text(page), re.M)
}


def test_every_command_is_documented() -> None:
    assert set(re.findall(r"^\| `ingest (\S+)`", PAGE, re.MULTILINE)) == set(COMMANDS)


def test_every_option_of_run_is_documented() -> None:
    options = {name for p in run.params if isinstance(p, click.Option) for name in p.opts}
    assert set(re.findall(r"^\| `(--\S+)`", PAGE, re.MULTILINE)) == options


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_fits_a_terminal_of_80_columns(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"], terminal_width=80)
    assert result.exit_code == 0
    assert max(len(line) for line in result.output.splitlines()) <= 80


def test_completion_knows_the_commands() -> None:
    environment = {"_INGEST_COMPLETE": "bash_complete", "COMP_WORDS": "ingest s", "COMP_CWORD": "1"}
    result = CliRunner().invoke(main, prog_name="ingest", env=environment)
    assert {line.partition(",")[2] for line in result.output.split()} == {
        name for name in COMMANDS if name.startswith("s")
    }


@pytest.mark.parametrize("line", sorted(TYPED))
def test_commands_in_the_documentation_can_be_typed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handbook").mkdir()
    parse(["ingest", *shlex.split(line)])
