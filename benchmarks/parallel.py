"""How much sooner `ingest run` is done than `ingest run --sequential`.

uv run --no-sync python benchmarks/parallel.py 6000

The real command, on an Ollama of two slots that is simulated in a process of its own, and an
embedded Postgres; each run begins with an empty database.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import memory

from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets_tests.services.faulty_ollama import Double, running

TARGET = 1.5
SERVER = {"slots": 2, "request_ms": 40, "text_ms": 8}


@click.command()
@click.argument("chunks", type=int, default=6000)
def main(chunks: int) -> None:
    """Ingest so many CHUNKS both ways, and compare the time from start to exit."""
    with running(**SERVER) as double:
        seconds = {
            mode: _seconds(double, chunks, *options)
            for mode, options in (("sequential", ["--sequential"]), ("parallel", []))
        }
    for mode, taken in seconds.items():
        click.echo(f"{mode:<10} {taken:6.1f} s  {chunks / taken:6.0f} chunks/s")
    ratio = seconds["sequential"] / seconds["parallel"]
    click.echo(f"ratio      {ratio:6.2f}    (target {TARGET})")
    sys.exit(ratio < TARGET)


def _seconds(double: Double, chunks: int, *options: str) -> float:
    with tempfile.TemporaryDirectory() as name, embedded_postgres(Path(name) / "state") as postgres:
        memory.write_project(Path(name), chunks)
        environment = {
            **os.environ,
            "INGESTION_DATABASE_URL": postgres.address,
            "OLLAMA_HOST": double.url,
        }
        start = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-m", "ingestion_assets", "run", *options],
            cwd=name, env=environment, capture_output=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        memory.check(postgres.address, chunks, process.returncode)
    return seconds


if __name__ == "__main__":
    main()
