"""`ingest attach`: an existing table, from now on kept embedded."""

import asyncio
from typing import Any

import click

from ingestion_assets.cli.program import program
from ingestion_assets.cli.services import services
from ingestion_assets.embedding import Identity, Ollama, model_facts
from ingestion_assets.errors import ConfigError
from ingestion_assets.local.services import Services
from ingestion_assets.settings import Settings
from ingestion_assets.store.attached import Attachment, Request, scan
from ingestion_assets.store.attached import attach as attach_table
from ingestion_assets.store.attached.wanted import Wanted
from ingestion_assets.store.connection import connect

_VECTOR, _STATUS = "embedding", "embedding_status"
_ASIDE = 16  # tokens of the model's context: special ones, and its own prefix


@click.command(short_help="Keep an existing table embedded.")
@click.argument("table")
@click.option("--name", help="What to call it; after the table by default.")
@click.option("--key", "keys", multiple=True, help="Column of the key; the primary key by default.")
@click.option("--text-column", "columns", multiple=True, help="Column to embed; repeatable.")
@click.option("--text", "expression", help="SQL expression over the row, instead of columns.")
@click.option("--type-column", "type_", help="Column with a block's type: paragraph, heading_2 …")
@click.option("--content-column", "content", help="Column with a block's content, text or JSON.")
@click.option("--document-column", "document", help="Column that names a block's document.")
@click.option("--position-column", "position", help="Column that orders a document's blocks.")
@click.option("--level-column", "level", help="Column with a heading's level.")
@click.option("--title-column", "title", help="Column with the document's title.")
@click.option("--title-table", help="Table of that column, if it is another one.")
@click.option("--prefix", help="Instruction before every text; the model's own by default.")
@click.option("--vector-column", help=f"Where vectors go.  [default: {_VECTOR}]")
@click.option("--status-column", help=f"Where the status goes.  [default: {_STATUS}]")
@click.option("--store", is_flag=True, help="Into our own tables instead, where search finds it.")
def attach(table: str, **options: Any) -> None:
    """Keep TABLE embedded: what is in it now, and whatever is written to it later.

    TABLE is written as in SQL: notes, public.notes or '"My Schema"."My Table"'. Columns that are
    missing are added. `ingest worker` does the embedding, `ingest detach` takes everything back.
    """
    settings = Settings.from_environment()
    with services(settings) as running:
        model = asyncio.run(_identify(settings, running))
        request = _request(settings, table, model, options)
        with connect(running.database_url) as connection:
            made = attach_table(connection, request)
            rows = 0
            while (page := scan(connection, made)) is not None:
                rows += page
    click.echo(made.name)
    _tell(made, rows)


async def _identify(settings: Settings, running: Services) -> Identity:
    host = next(iter(settings.ollama_hosts), running.ollama_host)
    async with Ollama(host, api_key=settings.ollama_api_key, timeout=settings.timeout) as ollama:
        return await ollama.identify(settings.model)


def _request(settings: Settings, table: str, model: Identity, options: dict[str, Any]) -> Request:
    vector, status = options["vector_column"], options["status_column"]
    store, prefix = options["store"], options["prefix"]
    if store and (vector or status):
        raise ConfigError(
            "--store and --vector-column or --status-column contradict each other; leave out one"
        )
    if prefix is None and not store:
        prefix = model_facts(model.model).document_prefix
    wanted = ("columns", "expression", "content", "document", "position", "level", "title")
    return Request(
        table=table,
        wanted=Wanted(
            type=options["type_"],
            title_table=options["title_table"],
            **{name: options[name] for name in wanted},
        ),
        model=model.model,
        digest=model.digest,
        dimensions=model.dimensions,
        name=options["name"],
        keys=options["keys"],
        prefix=prefix,
        vector_column=None if store else vector or _VECTOR,
        status_column=None if store else status or _STATUS,
        max_tokens=min(settings.chunk_tokens, model.context - _ASIDE),
        overlap=settings.chunk_overlap,
    )


def _tell(made: Attachment, rows: int) -> None:
    where = (
        f"vectors in {made.vector_column!r}, status in {made.status_column!r}"
        if made.vector_column
        else "vectors in our own tables"
    )
    added = ", ".join(made.undo["columns"])
    click.echo(f"Attached {made.title}: {where}; {rows:,} rows looked at.", err=True)
    if added:
        click.echo(f"Added to it: {added}.", err=True)
    if made.adopted:
        click.echo(f"Its own trigger is used; it notifies {made.channel!r}.", err=True)
    click.echo(f"Embed them:  {program()} worker --backfill", err=True)
    click.echo(f"Undo it:     {program()} detach {made.name}", err=True)
