"""A project folder of its own, and the command `ingest` run in it as a user would."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ingestion_assets_tests.end_to_end.webserver import Dagster

ROOT = Path(__file__).parents[2]


class Project:
    """A folder with dagster.yaml, workspace.yaml, sources.yaml and documents."""

    def __init__(self, folder: Path, sources_yaml: str, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**os.environ, **environment}
        for name in ("dagster.yaml", "dagster-celery.yaml", "workspace.yaml"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "sources.yaml").write_text(sources_yaml)
        (folder / "documents").mkdir(exist_ok=True)

    def write(self, name: str, text: str) -> None:
        path = self.folder / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ingestion_assets", *arguments]

    def run(
        self, *arguments: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def search(self, query: str, *options: str) -> list[dict[str, Any]]:
        hits: list[dict[str, Any]] = json.loads(
            self.run("search", query, "--json", *options).stdout
        )
        return hits

    @contextmanager
    def up(self) -> Iterator[Dagster]:
        """Everything started by `ingest up`, and stopped as Ctrl-C stops it."""
        port = free_port()
        with (self.folder / "up.log").open("wb") as log:
            process = subprocess.Popen(
                self.command("up", "-p", str(port)),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            dagster = Dagster(f"http://127.0.0.1:{port}")
            dagster.wait_until_up(process, self.folder / "up.log")
            yield dagster
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(90) == 0, (self.folder / "up.log").read_text()

    @contextmanager
    def dagster_dev(self) -> Iterator[Dagster]:
        """Plain `dagster dev`, with the environment's variables and nothing else."""
        port = free_port()
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)]
        with (self.folder / "dev.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            dagster = Dagster(f"http://127.0.0.1:{port}")
            dagster.wait_until_up(process, self.folder / "dev.log")
            yield dagster
        finally:
            # Dagster's processes, signalled all at once, may wait for each other for ever.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.5)
