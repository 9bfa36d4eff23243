"""`ingest up`: everything that runs for a while, started together and stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import click
import httpx

from ingestion_assets.cli.fleet import fleet
from ingestion_assets.cli.process import started, tail
from ingestion_assets.cli.services import export, require_project, services
from ingestion_assets.errors import ConfigError, LocalServiceError
from ingestion_assets.local.file_lock import FileLock
from ingestion_assets.settings import Settings
from ingestion_assets.sources import load

_START = 120.0  # seconds until the webserver must answer


@click.command(short_help="Start Dagster and the embedded services.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("-p", "--port", default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Celery workers that take the runs, as on many machines; needs the extra celery.",
)
def up(host: str, port: int, workers: int | None) -> None:
    """Start the embedded services, Dagster's webserver and its daemon; Ctrl-C stops all."""
    settings = Settings.from_environment()
    sources = load(settings.sources)
    require_project()
    _check_port(host, port)
    with _interruptible(), services(settings) as running, ExitStack() as beside:
        export(running)
        # Dagster takes over a second to import; only this command and `run` need it.
        from ingestion_assets.defs import launch  # noqa: PLC0415

        home = launch.prepare_home(Path.cwd())
        beside.enter_context(_alone(home))
        keys = [key for source in sources for key in source.partition_keys()]
        if workers:
            beside.enter_context(fleet(settings, keys, workers))
        else:
            os.environ.setdefault("DAGSTER_HOME", str(home))
            launch.prepare_instance(keys)
        with _dagster(host, port, log := home / "dagster.log") as dagster:
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
    """Run `dagster dev`, once it answers."""
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml"]
    with started([*command, "-h", host, "-p", str(port)], log) as process:
        _await_answer(process, f"http://{host}:{port}", log)
        yield process


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/server_info", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise LocalServiceError(f"Dagster does not answer at {url}; the end of {log}:\n{tail(log)}")


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    with suppress(KeyboardInterrupt):
        process.wait()
        raise LocalServiceError(f"Dagster has ended by itself; the end of {log}:\n{tail(log)}")
