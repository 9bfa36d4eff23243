"""`ingest attachments`: which tables are attached, how far each is, and what failed in it."""

import json
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ingestion_assets.cli.program import program
from ingestion_assets.cli.services import stored
from ingestion_assets.settings import Settings
from ingestion_assets.store.attached import Attachment
from ingestion_assets.store.attached import attachments as attached
from ingestion_assets.store.attached.listing import FailedRow, counts, failures, retry
from ingestion_assets.store.connection import Connection, connect

_LISTED = 50  # failures of a table on a screen; --json has them all
_COUNTS = ("pending", "processing", "completed", "skipped", "failed")


@click.command()
@click.option("--failed", is_flag=True, help="The rows that failed, and why.")
@click.option("--retry-failed", is_flag=True, help="Have them tried again, quarantined ones too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
def attachments(failed: bool, retry_failed: bool, as_json: bool) -> None:
    """List the attached tables with their rows by state."""
    with stored(Settings.from_environment()) as url, connect(url) as connection:
        found = attached(connection)
        if retry_failed:
            _retry(connection, found)
        if as_json:
            click.echo(json.dumps([_entry(connection, a) for a in found], indent=2))
        elif failed:
            for one in found:
                _show_failures(one, failures(connection, one, _LISTED))
        elif found:
            _show(connection, found)
    if not found:
        click.echo(f"No table is attached: {program()} attach --help", err=True)


def _retry(connection: Connection, found: list[Attachment]) -> None:
    for one in found:
        if one.table is not None:
            click.echo(f"{one.name}: {retry(connection, one):,} rows are pending again", err=True)


def _entry(connection: Connection, one: Attachment) -> dict[str, Any]:
    return {
        "name": one.name,
        "table": one.title,
        "vector_column": one.vector_column,
        "status_column": one.status_column,
        "trigger": "adopted" if one.adopted else "installed",
        "model": one.model,
        "dimensions": one.dimensions,
        **asdict(counts(connection, one)),
        "failures": [asdict(failure) for failure in failures(connection, one)],
    }


def _show(connection: Connection, found: list[Attachment]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "table", "vectors in", "model"):
        table.add_column(heading, overflow="fold")
    for heading in _COUNTS:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        numbers = asdict(counts(connection, one))
        table.add_row(
            one.name,
            one.title,
            one.vector_column or "our tables",
            one.model,
            *(f"{numbers[name]:,}" for name in _COUNTS),
        )
    Console().print(table)


def _show_failures(one: Attachment, rows: list[FailedRow]) -> None:
    for row in rows:
        fate = "quarantined" if row.quarantined else "to be retried"
        click.echo(f"{one.title} {row.key}: {row.error_class}: {row.error}")
        click.echo(f"    {fate} after {row.attempts} attempts")
    if len(rows) == _LISTED:
        click.echo("There may be more; --json lists all.", err=True)
