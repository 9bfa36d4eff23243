"""`ingest up`: everything that runs for a while, started together and stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click
import httpx

from ingestion_assets.cli.services import export, require_project, services
from ingestion_assets.errors import ConfigError, LocalServiceError
from ingestion_assets.local.file_lock import FileLock
from ingestion_assets.settings import Settings
from ingestion_assets.sources import load

_START = 120.0  # seconds until the webserver must answer
_STOP = 20.0  # seconds until what does not stop is killed


@click.command(short_help="Start Dagster and the embedded services.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("-p", "--port", default=3000, show_default=True, help="Port of the Dagster UI.")
def up(host: str, port: int) -> None:
    """Start the embedded services, Dagster's webserver and its daemon; Ctrl-C stops all."""
    settings = Settings.from_environment()
    sources = load(settings.sources)
    require_project()
    _check_port(host, port)
    with _interruptible(), services(settings) as running:
        export(running)
        # Dagster takes over a second to import; only this command and `run` need it.
        from ingestion_assets.defs import launch  # noqa: PLC0415

        home = launch.prepare_home(Path.cwd())
        os.environ.setdefault("DAGSTER_HOME", str(home))
        keys = [key for source in sources for key in source.partition_keys()]
        launch.prepare_instance(keys)
        with _alone(home), _dagster(host, port, log := home / "dagster.log") as dagster:
            url = f"http://{host}:{port}"
            click.echo(f"Dagster is at {url}; Ctrl-C stops everything.", err=True)
            click.secho(f"Its log is {log.relative_to(Path.cwd())}", dim=True, err=True)
            _wait(dagster, log)
            click.echo("Stopping … (up to half a minute)", err=True)
            launch.cancel_runs()


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise ConfigError(f"cannot listen on {host}:{port} ({exc}); choose --port") from exc


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two daemons of one instance would fight over its schedules and runs."""
    with FileLock(home / "up.lock") as lock:
        if not lock.try_exclusive():
            raise ConfigError("`ingest up` runs here already; stop it first")
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn SIGTERM into the same orderly end as Ctrl-C."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {s: signal.signal(s, interrupt) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _dagster(host: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `dagster dev` in a session of its own, so that it hears of Ctrl-C from us only."""
    url = f"http://{host}:{port}"
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-h", host, "-p", str(port)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        _await_answer(process, url, log)
        yield process
    finally:
        _stop(process)


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/server_info", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise LocalServiceError(f"Dagster does not answer at {url}; the end of {log}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    with suppress(KeyboardInterrupt):
        process.wait()
        raise LocalServiceError(f"Dagster has ended by itself; the end of {log}:\n{_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole session to end, and kill what has not after a while."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
