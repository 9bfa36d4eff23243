"""What a command starts ends with it."""

import sys
from pathlib import Path

import pytest

from ingestion_assets.cli.process import started, tail
from ingestion_assets_tests.end_to_end.project import wait_for

# Starts another process, tells its id, and waits for what never comes.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


def test_a_process_ends_with_the_block_and_takes_its_children_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started([sys.executable, "-c", PARENT], log) as process:
        wait_for(lambda: tail(log).isdecimal())
        child = int(tail(log))
    assert process.poll() is not None
    wait_for(lambda: not _lives(child))


def test_its_variables_are_beside_those_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "1")
    line = "import os; print(os.environ['OURS'], os.environ['ITS'])"
    with started([sys.executable, "-c", line], log := tmp_path / "log", {"ITS": "2"}) as process:
        process.wait()
    assert tail(log) == "1 2"


def _lives(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
