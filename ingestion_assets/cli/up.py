"""`ingest up`: everything that runs for a while, started together and stopped together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click
import httpx

from ingestion_assets.cli.services import export, services
from ingestion_assets.errors import LocalServiceError
from ingestion_assets.settings import Settings
from ingestion_assets.sources import load

_START = 120.0  # seconds until the webserver must answer
_STOP = 20.0  # seconds until what does not stop is killed


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("-p", "--port", default=3000, show_default=True, help="Port of the Dagster UI.")
def up(host: str, port: int) -> None:
    """Start the embedded services, Dagster's webserver and its daemon; Ctrl-C stops all."""
    settings = Settings.from_environment()
    sources = load(settings.sources)
    with _interruptible(), services(settings) as running:
        export(running)
        # Dagster takes over a second to import; only this command and `run` need it.
        from ingestion_assets.defs import launch  # noqa: PLC0415

        home = launch.prepare_home(Path.cwd())
        os.environ.setdefault("DAGSTER_HOME", str(home))
        keys = [key for source in sources for key in source.partition_keys()]
        launch.prepare_instance(keys)
        with _dagster(host, port, log := home / "dagster.log") as url:
            click.echo(f"Dagster is at {url}; Ctrl-C stops everything.", err=True)
            click.secho(f"Its log is {log.relative_to(Path.cwd())}", dim=True, err=True)
            _wait()
            click.echo("Stopping …", err=True)
            launch.cancel_runs()


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
def _dagster(host: str, port: int, log: Path) -> Iterator[str]:
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
        yield url
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
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise LocalServiceError(f"Dagster does not answer at {url}; the end of {log}:\n{tail}")


def _wait() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole session to end, and kill what has not after a while."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
