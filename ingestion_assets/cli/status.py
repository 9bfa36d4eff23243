"""`ingest status`: what is embedded, what waits, and what failed and why."""

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingestion_assets.errors import ConfigError
from ingestion_assets.local.services import database_service
from ingestion_assets.settings import Settings
from ingestion_assets.store import status as store
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, in_use
from ingestion_assets.store.schema import migrate
from ingestion_assets.store.status import FailedChunk, PartitionStatus

_LISTED = 50  # failures on a screen; --json has them all
_WIDTH = 76  # characters of a failure's reason in a line
_COUNTS = {
    "documents": "docs",
    "chunks": "chunks",
    "embedded": "embedded",
    "pending": "pending",
    "processing": "processing",
    "failed": "failed",
}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@click.command(short_help="Say what is embedded, waits, or failed.")
@click.argument("source", required=False)
@click.option("--failed", is_flag=True, help="List the chunks that failed, and why.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout.")
def status(source: str | None, failed: bool, as_json: bool) -> None:
    """Say what is embedded, what waits and what failed: by source, or SOURCE by partition.

    The exit code is 0, whatever the answer.
    """
    with database_service(Settings.from_environment()) as found:
        if found.note:
            click.secho(found.note, dim=True, err=True)
        migrate(found.address)
        with connect(found.address) as connection:
            _check(connection, source)
            answer = _failures if failed else _overview
            answer(connection, source, as_json)


def _check(connection: Connection, source: str | None) -> None:
    known = store.sources(connection)
    if source is not None and source not in known:
        raise ConfigError(
            f"nothing is stored of a source {source!r}; stored are:"
            f" {', '.join(known) or 'none'}. `ingest run {source}` ingests it"
        )


def _overview(connection: Connection, source: str | None, as_json: bool) -> None:
    generations = in_use(connection)
    partitions = store.partitions(connection, source)
    if as_json:
        listed = [_described(generation) for generation in generations]
        _print_json({"generations": listed, "partitions": [asdict(p) for p in partitions]})
        return
    for generation in generations:
        click.echo(_headline(generation))
    if not partitions:
        click.echo("Nothing is stored yet: run `ingest run` first.", err=True)
        return
    Console().print(_table(partitions, by_partition=source is not None))
    if any(partition.failed for partition in partitions):
        click.echo(f"See what failed:  {_command('ingest status', source)} --failed", err=True)


def _failures(connection: Connection, source: str | None, as_json: bool) -> None:
    if as_json:
        _print_json([asdict(failure) for failure in store.failures(connection, source)])
        return
    failures = store.failures(connection, source, _LISTED + 1)
    for failure in failures[:_LISTED]:
        _show(failure)
    if not failures:
        click.echo(
            "No text has failed. Files that cannot be read: ingest run names them.", err=True
        )
        return
    if len(failures) > _LISTED:
        click.echo(f"… and more than these {_LISTED}: --json lists all", err=True)
    click.echo(f"Retry them:  {_command('ingest run', source)} --retry-failed", err=True)


def _described(generation: Generation) -> dict[str, Any]:
    names = ("generation_id", "model", "digest", "dimensions", "status")
    return {name: getattr(generation, name) for name in names}


def _headline(generation: Generation) -> str:
    return (
        f"Generation {generation.generation_id} ({generation.status}): {generation.model},"
        f" {generation.dimensions} dimensions"
    )


def _command(command: str, source: str | None) -> str:
    return f"{command} {source}" if source else command


def _table(partitions: Sequence[PartitionStatus], *, by_partition: bool) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("partition" if by_partition else "source", overflow="fold")
    for name in _COUNTS.values():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("waiting", justify="right", no_wrap=True)
    if by_partition:
        for partition in partitions:
            _add_row(table, partition.partition_key, [partition])
    else:
        for source, of_source in groupby(partitions, lambda partition: partition.source):
            _add_row(table, source, list(of_source))
    return table


def _add_row(table: Table, name: str, partitions: Sequence[PartitionStatus]) -> None:
    totals = [sum(getattr(partition, count) for partition in partitions) for count in _COUNTS]
    waiting = [p.oldest_pending for p in partitions if p.oldest_pending]
    table.add_row(
        name,
        *(f"{total:,}" for total in totals),
        _age(min(waiting)) if waiting else "",
        style="red" if totals[-1] else "",
    )


def _age(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _show(failure: FailedChunk) -> None:
    kind = "quarantined" if failure.quarantined else "to be retried"
    tries = f"{failure.attempts} attempt{'s' * (failure.attempts != 1)}"
    place = (f"{failure.source}/{failure.uri}", "bold")
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    console.print(Text.assemble(place, (f"  {failure.heading}" if failure.heading else "", "cyan")))
    console.print(Text(_indented(f"{failure.error_class}: {failure.error}"), "red"))
    when = f"{_minute(failure.failed_at)}, generation {failure.generation_id}"
    console.print(Text(_indented(f"{kind} after {tries}, {when}"), "dim"))


def _indented(text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return textwrap.indent("\n".join(lines), "  ")


def _print_json(answer: dict[str, Any] | Iterable[Any]) -> None:
    click.echo(json.dumps(answer, default=str, indent=2))
