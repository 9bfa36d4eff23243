"""`ingest search`: a question in, the chunks that fit it best out."""

import asyncio
import json
import sys
import textwrap
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

import click
import orjson
from rich.console import Console
from rich.text import Text

from ingestion_assets.cli.services import index_words, require_store, services
from ingestion_assets.embedding import Ollama
from ingestion_assets.errors import ConfigError, QueryError
from ingestion_assets.local.services import Services
from ingestion_assets.retrieval.chat import Chat
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.request import MAX_K, Filters, Search, moment
from ingestion_assets.retrieval.results import Hit, Results
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.fleet import Fleet
from ingestion_assets.store.pool import open_pool
from ingestion_assets.store.status import sources as stored_sources

_SNIPPET = 240  # characters


def _choice(*values: str) -> dict[str, Any]:
    return {"type": click.Choice(values), "default": values[0], "show_default": True}


@click.command()
@click.argument("query")
@click.option("-k", type=click.IntRange(1, MAX_K), default=5, show_default=True, help="Results.")
@click.option("--method", **_choice("hybrid", "vector", "text"), help="By meaning, words, or both.")
@click.option("--mode", **_choice("auto", "exact", "approx"), help="Every vector, or the index.")
@click.option(
    "--rerank", **_choice("none", "mmr", "model"), help="For variety, or by a chat model."
)
@click.option("--source", help="Only of this source.")
@click.option("--domain", help="Only of this domain.")
@click.option("--category", help="Only of this category.")
@click.option("--uri-prefix", help="Only documents whose uri begins so.")
@click.option("--meta", multiple=True, metavar="KEY=VALUE", help="Only with this metadata.")
@click.option("--after", metavar="DATE", help="Only modified at or after it.")
@click.option("--before", metavar="DATE", help="Only modified before it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
def search(  # noqa: PLR0913  one for each option
    query: str,
    *,
    k: int,
    method: Any,
    mode: Any,
    rerank: Any,
    meta: tuple[str, ...],
    after: str | None,
    before: str | None,
    as_json: bool,
    **names: str | None,
) -> None:
    """Find the chunks that fit QUERY best.

    Words in "quotes" must stand together, a -word must not occur. The value of --meta is read as
    JSON where it is JSON. Exit code 1 means that not all was done as asked; stderr says what.
    """
    settings = Settings.from_environment()
    require_store(settings)
    try:
        filters = Filters(
            **names,
            metadata=dict(map(_metadata, meta)),
            modified_after=moment(after) if after else None,
            modified_before=moment(before) if before else None,
        )
        request = Search(query, k, method, mode, filters, rerank)
        with services(settings) as running:
            _prepare(settings, running, request)
            results = asyncio.run(_find(settings, running, request))
    except QueryError as exc:
        raise click.UsageError(str(exc)) from exc
    _show(results, as_json=as_json)


def _metadata(given: str) -> tuple[str, object]:
    key, separator, value = given.partition("=")
    if not separator:
        raise QueryError(f"--meta {given!r} has no =; write --meta key=value")
    try:
        return key, orjson.loads(value)
    except orjson.JSONDecodeError:
        return key, value


def _prepare(settings: Settings, running: Services, request: Search) -> None:
    """Refuse a source that is not there, and see to the index over the words."""
    with connect(running.database_url) as connection:
        source, known = request.filters.source, stored_sources(connection)
        if source is not None and known and source not in known:
            raise ConfigError(f"nothing is stored of {source!r}; stored are: {', '.join(known)}")
    if request.method != "vector":
        index_words(running, settings.text_language)


async def _find(settings: Settings, running: Services, request: Search) -> Results:
    hosts = settings.ollama_hosts or (running.ollama_host,)
    server: dict[str, Any] = {"api_key": settings.ollama_api_key, "timeout": settings.timeout}
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(running.database_url))
        ollama = await stack.enter_async_context(Ollama(hosts[0], **server))
        shares = {ollama.base_url: ollama.share}
        fleet = Fleet(running.database_url, shares, most=settings.max_in_flight, live=True)
        await stack.enter_async_context(fleet)
        judge = None
        if settings.chat_model:
            judge = await stack.enter_async_context(Chat(hosts, settings.chat_model, **server))
        searcher = Searcher(
            pool, QueryEmbedder(ollama), language=settings.text_language, judge=judge
        )
        return await searcher.search(request)


def _show(results: Results, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(hit) for hit in results.hits], default=str, indent=2))
    else:
        for rank, hit in enumerate(results.hits, 1):
            _show_hit(rank, hit)
    if not results.hits and not results.degraded:
        click.echo("Nothing was found.", err=True)
    for problem in results.degraded:
        click.secho(f"Incomplete: {problem}", fg="yellow", err=True)
    if results.degraded:
        sys.exit(1)


def _show_hit(rank: int, hit: Hit) -> None:
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    place = f"{hit.source}/{hit.uri}" + (f", page {hit.page}" if hit.page else "")
    console.print(
        Text.assemble((f"{rank}. ", "bold"), (f"{hit.score:.3g}  ", "green"), (place, "bold"))
    )
    console.print(Text(f"   {hit.heading or hit.title}", "cyan"))
    if details := _details(hit):
        console.print(Text(f"   {details}", "dim"))
    snippet = textwrap.shorten(hit.text, _SNIPPET, placeholder=" …")
    console.print(Text(textwrap.indent(textwrap.fill(snippet, 76), "   ")))


def _details(hit: Hit) -> str:
    """How a hit was found, where one number does not say it."""
    parts = []
    if hit.vector_rank and hit.text_rank:
        parts.append(f"by meaning {hit.vector_rank}, by words {hit.text_rank}")
    elif hit.text_rank:
        parts.append(f"by words {hit.text_rank}" + ("" if hit.embedded else ", no vector yet"))
    if hit.rerank_score is not None:
        parts.append(f"reranked {hit.rerank_score:.3g}, was {hit.retrieved_rank}")
    return "; ".join(parts)
