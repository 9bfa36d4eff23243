"""`ingest answer`: a question in, an answer from the documents and its sources out."""

import asyncio
import json
from contextlib import aclosing

import click

from ingestion_assets.api.backend import open_backend
from ingestion_assets.cli.services import index_words, require_store, services
from ingestion_assets.local.services import Services
from ingestion_assets.retrieval.answer import Answer, Source, threshold
from ingestion_assets.retrieval.answer import answer as answered
from ingestion_assets.retrieval.request import MAX_K, Filters, Method, Search
from ingestion_assets.settings import Settings


@click.command(short_help="Answer a question from the documents.")
@click.argument("question")
@click.option("-k", type=click.IntRange(1, MAX_K), default=8, show_default=True, help="Passages.")
@click.option(
    "--method",
    type=click.Choice(["hybrid", "vector", "text"]),
    default="hybrid",
    show_default=True,
    help="How the passages are found.",
)
@click.option("--source", help="Answer from this source only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def answer(question: str, k: int, method: Method, source: str | None, as_json: bool) -> None:
    """Answer QUESTION from the documents, with the model of INGESTION_CHAT_MODEL."""
    settings = Settings.from_environment()
    search = Search(question, k=k, method=method, filters=Filters(source=source))
    require_store(settings)
    with services(settings) as running:
        index_words(running, settings.text_language)
        said = asyncio.run(_answer(settings, running, search, aloud=not as_json))
    if as_json:
        click.echo(json.dumps(_told(said), indent=2, ensure_ascii=False))
    else:
        _list(said)


async def _answer(settings: Settings, running: Services, search: Search, *, aloud: bool) -> Answer:
    hosts = settings.ollama_hosts or (running.ollama_host,)
    async with open_backend(settings, running.database_url, hosts) as backend:
        results = await backend.searcher.search(search)
        for missing in results.degraded:
            click.echo(f"Incomplete: {missing}", err=True)
        model = await backend.model(results.generation_id)
        least = threshold(model, settings.answer_threshold)
        async with aclosing(answered(backend.chat, search.text, results.hits, least=least)) as said:
            async for piece in said:
                if isinstance(piece, Answer):
                    return piece
                if aloud:
                    click.echo(piece, nl=False)
    raise AssertionError("an answer ends with an Answer")


def _list(said: Answer) -> None:
    click.echo()
    if said.cut:
        click.echo(f"{said.cut} passages were shortened or left out for their length.", err=True)
    if said.found and not said.sources:
        click.echo("The answer cites no passage: do not rely on it.", err=True)
    if said.sources:
        click.echo()
    for source in said.sources:
        click.echo(f"[{source.number}] {_place(source)}")


def _place(source: Source) -> str:
    hit = source.hit
    page = f", page {hit.page}" if hit.page else ""
    return " > ".join(part for part in (f"{hit.source}/{hit.uri}{page}", hit.heading) if part)


def _told(said: Answer) -> dict[str, object]:
    sources = [
        {
            "number": source.number,
            "source": source.hit.source,
            "uri": source.hit.uri,
            "heading": source.hit.heading,
            "page": source.hit.page,
            "document_id": str(source.hit.document_id),
            "chunk_id": str(source.hit.chunk_id),
        }
        for source in said.sources
    ]
    return {"answer": said.text, "found": said.found, "cut": said.cut, "sources": sources}
