"""`ingest export`: collections of embedded chunks as files for other tools."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from glob import escape
from itertools import product

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from ingestion_assets.cli.completion import source_names
from ingestion_assets.cli.program import program
from ingestion_assets.cli.services import stored
from ingestion_assets.errors import ConfigError
from ingestion_assets.export import FOLDER, FORMATS, Exported, Selection
from ingestion_assets.export import Progress as Told
from ingestion_assets.export import export as to_files
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect


@click.command(short_help="Write collections as files for other tools.")
@click.option("--to", "url", metavar="URL", help="A folder, or any url that fsspec knows.")
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(list(FORMATS)), help="Repeatable."
)
@click.option("--domain", "domains", multiple=True, help="Of this domain only; repeatable.")
@click.option("--category", "categories", multiple=True, help="Of this category only; repeatable.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    shell_complete=source_names,
    help="Only documents of this source; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="What was done, as JSON on stdout.")
def export(
    url: str | None,
    formats: tuple[str, ...],
    domains: tuple[str, ...],
    categories: tuple[str, ...],
    sources: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write every collection, the chunks of one domain and category, to a file per format.

    Only what changed since the last export is written. Exit code 1: chunks that have no vector
    yet were left out.
    """
    settings = Settings.from_environment()
    chosen = [
        (escape(domain) if domain else "*", escape(category) if category else "*")
        for domain, category in product(domains or [""], categories or [""])
    ]
    selection = Selection(
        formats=formats or settings.collections_formats,
        include=chosen if domains or categories else settings.collections_include,
        sources=sources,
    )
    to = url or settings.collections_url or FOLDER
    with stored(settings) as database, connect(database) as connection, _bar() as told:
        done = to_files(connection, to, selection, told)
    if not done.collections and not done.removed and (domains or categories or sources):
        raise ConfigError(f"no collection fits; what there is:  {program()} status")
    _show(done, as_json=as_json)
    if done.missing:
        sys.exit(1)


@contextmanager
def _bar() -> Iterator[Told]:
    """A progress bar on stderr, on a terminal only."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("chunks"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(done: Exported, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
    else:
        written, size = len(done.written), decimal(done.bytes)
        click.echo(f"{done.collections} collections, {done.chunks:,} chunks in {done.where}")
        click.echo(
            f"{written} files written ({size}), {done.unchanged} unchanged,"
            f" {len(done.removed)} removed"
        )
    if done.missing:
        left_out = f"{done.missing:,} chunks have no vector yet and are left out"
        click.secho(f"{left_out}:  {program()} status", fg="yellow", err=True)
