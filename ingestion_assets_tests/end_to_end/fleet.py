"""Many hosts on one: Redis, webserver, daemon and Celery workers, each started by its command."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from ingestion_assets.defs.fleet import prepare_fleet
from ingestion_assets_tests.end_to_end.project import Project, free_port, wait_for
from ingestion_assets_tests.end_to_end.webserver import Dagster


class Fleet:
    """One project, and processes that have only Postgres, Redis and Ollama in common.

    Args:
        doubles: OLLAMA_HOSTS of each worker.
    """

    dagster: Dagster

    def __init__(self, project: Project, doubles: list[str]) -> None:
        self.project, self._doubles = project, doubles
        home, self._homes = prepare_fleet(project.folder, len(doubles))
        self.redis_port, self._port = free_port(), free_port()
        self._places: dict[int, tuple[list[str], dict[str, str]]] = {}
        self.environment = {
            **project.environment,
            "DAGSTER_HOME": str(home),
            "INGEST_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End everything: first what would start something, or wait for something."""
        for name in ("daemon", "webserver", *self.workers(), *list(self._running)):
            if name in self._running:
                self.end(name)

    def workers(self) -> list[str]:
        return [name for name in self._running if name.startswith("worker-")]

    def start(self) -> None:
        """Start all roles, and wait until Dagster answers."""
        self.start_redis()
        for n in range(len(self._doubles)):
            self.start_worker(n)
        self.start_daemon()
        address = ["-h", "127.0.0.1", "-p", str(self._port)]
        self._start("webserver", _script("dagster-webserver"), "-w", "workspace.yaml", *address)
        self.dagster = Dagster(f"http://127.0.0.1:{self._port}")
        log = self.project.folder / "webserver.log"
        self.dagster.wait_until_up(self._running["webserver"], log)

    def start_redis(self) -> None:
        """A Redis that keeps on disk what is queued, as one in production."""
        where = ["--bind", "127.0.0.1", "--port", str(self.redis_port)]
        kept = ["--dir", str(self.project.folder), "--save", "", "--appendonly", "yes"]
        self._start("redis", "redis-server", *where, *kept)
        wait_for(self._redis_answers, 30)

    def start_daemon(self) -> None:
        self._start("daemon", _script("dagster-daemon"), "run", "-w", "workspace.yaml")

    def place(self, n: int, prefix: list[str], **environment: str) -> None:
        """Have a worker run behind a command, where everything has other addresses."""
        self._places[n] = prefix, environment

    def start_worker(self, n: int) -> None:
        name = f"worker-{n}"
        prefix, environment = self._places.get(n, ([], {"OLLAMA_HOSTS": self._doubles[n]}))
        app = [_script("celery"), "-A", "ingestion_assets.defs.celery_app"]
        self._start(
            name, *prefix, *app, "worker", "-c", "1", "-n", f"{name}@%h",
            DAGSTER_HOME=str(self._homes[n]), **environment,
        )  # fmt: skip

    def start_command(self, name: str, *arguments: str, **environment: str) -> None:
        """Start a command `ingest`."""
        self._start(name, *self.project.command(*arguments), **environment)

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """Signal a process, and kill what is left of its session; SIGKILL is a lost host."""
        process = self._running.pop(name)
        if how is signal.SIGTERM:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self, name: str, *command: str, **environment: str) -> None:
        with (self.project.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, cwd=self.project.folder, env={**self.environment, **environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _redis_answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.redis_port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def missing() -> str | None:
    """Why there can be no fleet here, if so."""
    if shutil.which("redis-server") is None:
        return "there is no redis-server: apt install redis-server"
    if not Path(_script("celery")).exists():
        return "the extra celery is not installed: make install EXTRAS=celery"
    return None


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
