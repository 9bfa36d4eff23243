import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestion_assets.cli import main
from ingestion_assets.cli.group import COMMANDS


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sources.yaml").write_text("sources:\n  - {name: notes, root: .}\n")
    (tmp_path / "dagster.yaml").touch()
    return CliRunner()


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["run", "nope"], {}, "no source is named 'nope'; sources.yaml lists notes"),
        (["run"], {"INGESTION_SOURCES": "absent.yaml"}, "absent.yaml"),
        (["run"], {"INGEST_WORKERS": "many"}, "INGEST_WORKERS='many' is not a number"),
        (["migrate"], {"INGESTION_DATABASE_URL": ""}, "INGESTION_DATABASE_URL is not set"),
    ],
)
def test_wrong_use_ends_with_2_and_one_line(
    runner: CliRunner, arguments: list[str], environment: dict[str, str], message: str
) -> None:
    result = runner.invoke(main, arguments, env=environment)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_unreachable_database_ends_with_1_without_its_password(runner: CliRunner) -> None:
    url = "postgresql://u:hunter2@127.0.0.1:1/d"
    result = runner.invoke(main, ["status"], env={"INGESTION_DATABASE_URL": url})
    assert result.exit_code == 1
    assert "Error: Postgres: " in result.stderr
    assert "hunter2" not in result.output


@pytest.mark.parametrize("line", ["--verbose run nope", "run nope --verbose"])
def test_verbose_shows_the_traceback(runner: CliRunner, line: str) -> None:
    result = runner.invoke(main, line.split())
    assert "Traceback" in result.stderr


def test_migrate_names_what_it_applied_and_does_it_once(runner: CliRunner, postgres: str) -> None:
    from ingestion_assets_tests.conftest import fresh_database

    with fresh_database(postgres) as url:
        first, second = (
            runner.invoke(main, ["migrate"], env={"INGESTION_DATABASE_URL": url}) for _ in range(2)
        )
    assert first.stdout.splitlines()[0] == "001_initial.sql"
    assert (second.exit_code, second.stdout, second.stderr) == (0, "", "up to date\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns(runner: CliRunner, command: str) -> None:
    result = runner.invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_a_command_is_not_imported_for_another_one() -> None:
    program = "import sys, ingestion_assets.cli.worker; print('rich' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


def test_port_in_use_is_refused_before_anything_starts(runner: CliRunner, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = runner.invoke(main, ["up", "-p", str(taken.getsockname()[1])])
    assert result.exit_code == 2
    assert "choose --port" in result.stderr
    assert not (tmp_path / ".ingestion").exists()


def test_malformed_ollama_host_ends_with_2(runner: CliRunner, database: str) -> None:
    environment = {"OLLAMA_HOST": "ftp://x", "INGESTION_DATABASE_URL": database}
    result = runner.invoke(main, ["run"], env=environment)
    assert result.exit_code == 2
    assert "OLLAMA_HOST has the scheme 'ftp'" in result.stderr


@pytest.mark.parametrize("command", ["run", "run wiki", "run --source", "status", "rebucket"])
def test_completion_knows_the_sources(runner: CliRunner, tmp_path: Path, command: str) -> None:
    words = f"ingest {command} n"
    typed = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    environment = {"_INGEST_COMPLETE": "bash_complete", **typed}
    assert runner.invoke(main, prog_name="ingest", env=environment).output == "plain,notes\n"
    (tmp_path / "sources.yaml").unlink()
    assert runner.invoke(main, prog_name="ingest", env=environment).output.strip() == ""
