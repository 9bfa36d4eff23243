"""`ingest search`: a question in, the nearest chunks out."""

import asyncio
import json
import sys
import textwrap
from dataclasses import asdict

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from ingestion_assets.cli.services import services
from ingestion_assets.embedding import Ollama
from ingestion_assets.errors import ConfigError
from ingestion_assets.local.services import Services
from ingestion_assets.retrieval.query import check_model, embed_query
from ingestion_assets.retrieval.search import Hit, nearest
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Generation, active
from ingestion_assets.store.status import sources as stored_sources

_SNIPPET = 240  # characters


@click.command()
@click.argument("query")
@click.option("-k", type=click.IntRange(1, 1000), default=5, show_default=True, help="Results.")
@click.option("--source", help="Search this source only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
def search(query: str, k: int, source: str | None, as_json: bool) -> None:
    """Find the chunks nearest to QUERY."""
    settings = Settings.from_environment()
    with services(settings) as running:
        hits = _find(settings, running, query, k, source)
    if as_json:
        click.echo(json.dumps([asdict(hit) for hit in hits], default=str, indent=2))
        return
    if not hits:
        click.echo("Nothing is stored yet: run `ingest run` first.", err=True)
    for rank, hit in enumerate(hits, 1):
        _show(rank, hit)


def _find(
    settings: Settings, running: Services, query: str, k: int, source: str | None
) -> list[Hit]:
    if not query.strip():
        raise ConfigError("QUERY is empty; say what to look for")
    with connect(running.database_url) as connection:
        generation = active(connection)
        known = stored_sources(connection)
    if generation is None:
        return []
    if source is not None and source not in known:
        raise ConfigError(f"nothing is stored of {source!r}; stored are: {', '.join(known)}")
    vector = asyncio.run(_embed(settings, running, generation, query))
    with connect(running.database_url) as connection:
        return nearest(connection, generation, vector, k=k, source=source)


async def _embed(
    settings: Settings, running: Services, generation: Generation, query: str
) -> NDArray[np.float32]:
    async with Ollama(
        running.ollama_host, api_key=settings.ollama_api_key, timeout=settings.timeout
    ) as ollama:
        await check_model(ollama, generation)
        return await embed_query(ollama, generation, query)


def _show(rank: int, hit: Hit) -> None:
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    place = f"{hit.source}/{hit.uri}"
    console.print(
        Text.assemble((f"{rank}. ", "bold"), (f"{hit.score:.3f}  ", "green"), (place, "bold"))
    )
    console.print(Text(f"   {hit.heading or hit.title}", "cyan"))
    snippet = textwrap.shorten(hit.text, _SNIPPET, placeholder=" …")
    console.print(Text(textwrap.indent(textwrap.fill(snippet, 76), "   ")))
