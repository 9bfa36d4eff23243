"""`ingest index`: an approximate index over the vectors, searched as hard as its recall asks."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ingestion_assets.cli.services import services
from ingestion_assets.embedding import Ollama
from ingestion_assets.errors import StoreError
from ingestion_assets.local.services import Services
from ingestion_assets.retrieval import golden
from ingestion_assets.retrieval.recall import Recall, embedded, tune
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Generation, active
from ingestion_assets.store.index import Built, build_vector_index, check_used, index_state, rule
from ingestion_assets.store.index.progress import followed
from ingestion_assets.store.index.rule import Move, Verdict
from ingestion_assets.store.pool import open_pool


@click.command(short_help="Build the approximate index and measure its recall.")
@click.option(
    "--target",
    type=click.FloatRange(0.5, 0.9999),
    help="Share of the 10 nearest that must be found.  [default: INGEST_RECALL_TARGET, 0.99]",
)
@click.option(
    "--questions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of golden questions to measure with, beside the sampled ones.",
)
def index(target: float | None, questions: Path | None) -> None:
    """Build the approximate index of the vectors that are searched, if it is missing.

    It is built anew too where 1 % of its vectors were replaced or deleted. Then its recall is
    measured against the exact search, and from then on it is searched as hard as the target asks.
    Searches use it where more than 100,000 vectors fit their filters, or with --mode approx.
    Reading and writing go on meanwhile. Exit code 1: the target is missed.
    """
    settings = Settings.from_environment()
    target = target or settings.recall_target
    asked = golden.read(questions) if questions else []
    with services(settings) as running:
        url = running.database_url
        generation = _searched(url)
        _build(url, generation)
        vectors = asyncio.run(_embedded(settings, running, generation, asked)) if asked else []
        recall = asyncio.run(_tune(url, target, vectors))
    click.echo(_measured(recall))
    if recall.at_least < target:
        click.secho(f"Below {target:g}: search with --mode exact.", fg="yellow", err=True)
        sys.exit(1)


def keep(url: str, target: float) -> None:
    """Build the index and measure it, where the rule says that it has to be built."""
    with connect(url) as connection:
        generation = active(connection)
        due = generation and rule.judge(connection, generation).move is not Move.KEEP
    if generation and due and _build(url, generation):
        click.echo(_measured(asyncio.run(_tune(url, target, []))), err=True)


def _build(url: str, generation: Generation) -> bool:
    """Build it if there is none, or as the rule says; a bar on stderr moves meanwhile."""
    with connect(url) as connection:
        verdict = rule.judge(connection, generation)
        with _bar() as bar, followed(url, generation, bar):
            built = build_vector_index(connection, generation, afresh=verdict.move is Move.REPLACE)
        if index_state(connection, generation).state == "valid":
            check_used(connection, generation)
    if built:
        click.echo(_told(built, verdict), err=True)
    return built is not None


def _searched(url: str) -> Generation:
    with connect(url) as connection:
        generation = active(connection)
    if generation is None:
        raise StoreError("there are no vectors to index yet; run `ingest run`")
    return generation


@contextmanager
def _bar() -> Iterator[Callable[[float], None]]:
    """A bar on stderr, on a terminal only; it appears when it is first moved."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("building the index", total=1.0, visible=False)
        yield lambda share: progress.update(task, completed=share, visible=True)


def _told(built: Built, verdict: Verdict) -> str:
    how = "built beside the old one" if verdict.move is Move.REPLACE else "built"
    return (
        f"The index is {how}: {built.rows:,} vectors in {built.seconds:.1f} s, {built.bytes >> 20}"
        f" MB, with {built.effort.memory} MB of memory and {built.effort.workers} workers."
    )


def _measured(recall: Recall) -> str:
    short = f", {recall.short} of {recall.questions} answers short" if recall.short else ""
    return (
        f"recall@{recall.k} {recall.value:.4f}, surely {recall.at_least:.4f},"
        f" with ef_search {recall.ef_search}{short}"
    )


async def _embedded(
    settings: Settings, running: Services, generation: Generation, asked: Sequence[dict[str, Any]]
) -> list[NDArray[np.float32]]:
    host = settings.ollama_hosts[0] if settings.ollama_hosts else running.ollama_host
    async with Ollama(host, api_key=settings.ollama_api_key) as ollama:
        return await embedded(ollama, generation, [question["query"] for question in asked])


async def _tune(url: str, target: float, asked: Sequence[NDArray[np.float32]]) -> Recall:
    async with open_pool(url) as pool:
        return await tune(pool, target=target, asked=asked)
