"""`ingest index`: an approximate index over the vectors, searched as hard as its recall asks."""

import asyncio
import sys

import click

from ingestion_assets.cli.services import services
from ingestion_assets.errors import StoreError
from ingestion_assets.retrieval.recall import TARGET, Recall, tune
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import active
from ingestion_assets.store.index import build_vector_index
from ingestion_assets.store.pool import open_pool


@click.command(short_help="Build the approximate index and measure its recall.")
@click.option(
    "--target",
    type=click.FloatRange(0.5, 0.9999),
    default=TARGET,
    show_default=True,
    help="Share of the 10 nearest that must be found.",
)
def index(target: float) -> None:
    """Build the approximate index of the vectors that are searched, if it is missing.

    Then its recall is measured against the exact search, and from then on it is searched as hard
    as the target asks. Searches use it where more than 100,000 vectors fit their filters, or with
    --mode approx. Reading and writing go on meanwhile. Exit code 1: the target is missed.
    """
    with services(Settings.from_environment()) as running:
        if _build(running.database_url):
            click.echo("The index is built.", err=True)
        recall = asyncio.run(_tune(running.database_url, target))
    click.echo(
        f"recall@{recall.k} {recall.value:.4f}, surely {recall.at_least:.4f},"
        f" with ef_search {recall.ef_search}"
    )
    if recall.at_least < target:
        click.secho(f"Below {target:g}: search with --mode exact.", fg="yellow", err=True)
        sys.exit(1)


def _build(url: str) -> bool:
    with connect(url) as connection:
        generation = active(connection)
        if generation is None:
            raise StoreError("there are no vectors to index yet; run `ingest run`")
        return build_vector_index(connection, generation)


async def _tune(url: str, target: float) -> Recall:
    async with open_pool(url) as pool:
        return await tune(pool, target=target)
