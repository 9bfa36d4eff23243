"""Peak memory of the run process while it ingests n chunks from a zero-latency embedder.

uv run python benchmarks/memory.py 100000 200000
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import psycopg

from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets_tests.services.faulty_ollama import running

ROOT = Path(__file__).parents[1]
SECTIONS = 100  # chunks of one document
WORDS = ["index", "vector", "store", "token", "batch", "lease", "claim", "chunk", "page", "query"]


@click.command()
@click.argument("chunks", nargs=-1, type=int)
def main(chunks: tuple[int, ...]) -> None:
    """Ingest each number of CHUNKS into one partition of an empty database."""
    click.echo("chunks    peak MB  seconds  chunks/s")
    for n in chunks or (100_000, 200_000):
        with tempfile.TemporaryDirectory() as folder:
            peak, seconds = measure(Path(folder), n)
        click.echo(f"{n:<9,} {peak:7.0f} {seconds:8.1f} {n / seconds:9.0f}")


def measure(folder: Path, n: int) -> tuple[float, float]:
    """Peak memory (MB) and wall time (seconds) of one `ingest run`."""
    write_project(folder, n)
    with embedded_postgres(folder / "state") as postgres, running() as double:
        environment = {
            **os.environ,
            "INGESTION_DATABASE_URL": postgres.address,
            "OLLAMA_HOST": double.url,
        }
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "ingestion_assets", "run"],
            cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        check(postgres.address, n, status)
    return usage.ru_maxrss / 1024, seconds


def write_project(folder: Path, n: int) -> None:
    """A project whose one source has n sections of about a hundred words, no two alike."""
    for name in ("dagster.yaml", "workspace.yaml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "sources.yaml").write_text("sources:\n  - {name: bulk, root: documents}\n")
    (folder / "documents").mkdir()
    for document in range(n // SECTIONS):
        text = "".join(section(document, part) for part in range(SECTIONS))
        (folder / "documents" / f"{document:06d}.md").write_text(text)


def section(document: int, part: int) -> str:
    """One chunk's worth of Markdown."""
    words = " ".join(WORDS[(document * part + i) % len(WORDS)] for i in range(100))
    return f"## Part {part} of {document}\n\n{words}.\n\n"


def check(database: str, n: int, status: int) -> None:
    """End with an error unless every chunk has its vector."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM ingestion.embeddings").fetchone()
    if status or row != (n,):
        raise SystemExit(f"exit status {status}, {row} vectors instead of {n:,}")


if __name__ == "__main__":
    main()
