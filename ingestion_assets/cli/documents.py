"""`ingest documents`: one document's chunks, and what became of each."""

import json
import textwrap
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from ingestion_assets.cli.services import stored
from ingestion_assets.errors import ConfigError
from ingestion_assets.settings import Settings
from ingestion_assets.store import inspection
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.inspection import ChunkState, StoredDocument

_COLORS = {"completed": "green", "error": "red"}


@click.command(short_help="Show a document's chunks and their states.")
@click.argument("uri")
@click.option("--source", help="Of this source only.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout, texts included.")
def documents(uri: str, source: str | None, as_json: bool) -> None:
    """Show the document URI: its chunks, their states, and why one has no vector.

    A document's URI is its path below the root of its source, as `ingest search` prints it.
    """
    with stored(Settings.from_environment()) as url, connect(url) as connection:
        document = _document(connection, uri, source)
        chunks = inspection.chunks(connection, document.document_id)
    if as_json:
        answer = {**asdict(document), "chunks": [asdict(chunk) for chunk in chunks]}
        click.echo(json.dumps(answer, default=str, indent=2))
        return
    _show(document, chunks)


def _document(connection: Connection, uri: str, source: str | None) -> StoredDocument:
    stored = inspection.documents(connection, uri, source)
    if not stored and source is None and "/" in uri:
        of, _, rest = uri.partition("/")
        stored = inspection.documents(connection, rest, of)
    if not stored:
        similar = inspection.similar(connection, uri.rpartition("/")[2])
        near = (
            f"; did you mean {', '.join(similar)}?"
            if similar
            else "; what could not be read: ingest status --failed"
        )
        raise ConfigError(f"no document {uri!r} is stored{near}")
    if len(stored) > 1:
        names = ", ".join(document.source for document in stored)
        raise ConfigError(f"{uri!r} is a document of {names}; choose one with --source")
    return stored[0]


def _show(document: StoredDocument, chunks: list[ChunkState]) -> None:
    click.secho(f"{document.source}/{document.uri}  {document.title}", bold=True)
    click.echo(
        f"{document.media_type}, {document.bytes:,} bytes, partition {document.partition_key},"
        f" read {document.ingested_at.astimezone():%Y-%m-%d %H:%M}"
    )
    names = {"domain": document.domain, "category": document.category}
    if said := [f"{name} {value}" for name, value in names.items() if value]:
        click.echo(", ".join(said))
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("chunk", justify="right")
    table.add_column("state", no_wrap=True)
    table.add_column("tokens", justify="right")
    table.add_column("text", ratio=1)
    for chunk in chunks:
        page = f"page {chunk.page}: " if chunk.page else ""
        why = f" [{chunk.error_class}: {chunk.error}]" if chunk.error else ""
        text = textwrap.shorten(chunk.text, 60 if why else 110, placeholder=" …")
        style = _COLORS.get(chunk.state, "yellow")
        table.add_row(
            str(chunk.ordinal),
            f"[{style}]{chunk.state}[/]",
            str(chunk.tokens),
            _plain(page + text + why),
        )
    Console().print(table)


def _plain(text: str) -> str:
    """Text of a document is not markup."""
    return text.replace("[", r"\[")
