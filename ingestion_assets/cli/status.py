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

from ingestion_assets.cli.completion import source_names
from ingestion_assets.cli.services import stored
from ingestion_assets.errors import ConfigError
from ingestion_assets.settings import Settings
from ingestion_assets.store import baselines, freshness, looks
from ingestion_assets.store import status as store
from ingestion_assets.store.baselines import Baseline
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.freshness import Freshness
from ingestion_assets.store.generations import Generation, in_use
from ingestion_assets.store.looks import Unread
from ingestion_assets.store.status import FailedChunk, PartitionStatus

_LISTED = 50  # failures on a screen; --json has them all
_WIDTH = 76  # characters of a failure's reason in a line
_COUNTS = {
    "documents": "docs",
    "chunks": "chunks",
    "embedded": "embedded",
    "pending": "pending",
    "processing": "at work",
    "failed": "failed",
}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@click.command(short_help="Say what is embedded, waits, or failed.")
@click.argument("source", required=False, shell_complete=source_names)
@click.option("--failed", is_flag=True, help="List what failed, and why.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout.")
def status(source: str | None, failed: bool, as_json: bool) -> None:
    """Say what is embedded, what waits and what failed: by source, or SOURCE by partition.

    The exit code is 0, whatever the answer, and 2 where nothing was ever stored.
    """
    with stored(Settings.from_environment()) as url, connect(url) as connection:
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
    known = {g.generation_id: baselines.stored(connection, g) for g in generations}
    fresh = freshness.latencies(connection, source)
    if as_json:
        listed = [_described(g, known[g.generation_id]) for g in generations]
        counted = {"partitions": [asdict(p) for p in partitions]}
        _print_json({"generations": listed, **counted, "freshness": [asdict(f) for f in fresh]})
        return
    for generation in generations:
        click.echo(_headline(generation, known[generation.generation_id]))
    if not partitions:
        click.echo("Nothing is stored yet: run `ingest run` first.", err=True)
        return
    Console().print(_table(partitions, by_partition=source is not None))
    if fresh:
        Console().print(_freshness(fresh))
    if any(partition.failed for partition in partitions):
        click.echo(f"See what failed:  {_command('ingest status', source)} --failed", err=True)


def _failures(connection: Connection, source: str | None, as_json: bool) -> None:
    limit = None if as_json else _LISTED + 1
    unread = looks.unread(connection, source, limit)
    texts = store.failures(connection, source, limit)
    if as_json:
        _print_json({"documents": [asdict(u) for u in unread], "texts": [asdict(t) for t in texts]})
        return
    for document in unread[:_LISTED]:
        _show_unread(document)
    for text in texts[:_LISTED]:
        _show(text)
    if max(len(unread), len(texts)) > _LISTED:
        click.echo(f"… and more than these {_LISTED}: --json lists all", err=True)
    _say_remedies(source, unread=bool(unread), texts=bool(texts))


def _say_remedies(source: str | None, *, unread: bool, texts: bool) -> None:
    run = _command("ingest run", source)
    if unread:
        click.echo(f"Read the documents again, once they can be read:  {run}", err=True)
    if texts:
        click.echo(f"Retry the texts:  {run} --retry-failed", err=True)
    if not unread and not texts:
        click.echo("Every document was read, and no text has failed.", err=True)


def _described(generation: Generation, begun: Baseline | None) -> dict[str, Any]:
    """What makes up a generation, and what was around when it began."""
    names = (
        "generation_id", "model", "digest", "dimensions", "status",
        "document_prefix", "query_prefix", "options",
    )  # fmt: skip
    return {
        **{name: getattr(generation, name) for name in names},
        "server_version": begun.server_version if begun else None,
        "chunkers": list(begun.chunkers) if begun else [],
    }


def _headline(generation: Generation, begun: Baseline | None) -> str:
    return (
        f"Generation {generation.generation_id} ({generation.status}): {generation.model},"
        f" {generation.dimensions} dimensions"
        + (f", begun with Ollama {begun.server_version}" if begun else "")
    )


def _command(command: str, source: str | None) -> str:
    return f"{command} {source}" if source else command


def _table(partitions: Sequence[PartitionStatus], *, by_partition: bool) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("partition" if by_partition else "source", overflow="fold")
    for name in _COUNTS.values():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("waiting", justify="right", no_wrap=True)
    table.add_column("last\nrun", justify="right", no_wrap=True)
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
    runs = [p.last_run for p in partitions if p.last_run]
    table.add_row(
        name,
        *(f"{total:,}" for total in totals),
        _age(min(waiting)) if waiting else "",
        _age(max(runs)) if runs else "",
        style="red" if totals[-1] else "",
    )


def _freshness(fresh: Sequence[Freshness]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\nsearchable after", overflow="fold")
    for name in ("in the\nlast", "\ndocs", "reading:\nmedian", "\np95", "change:\nmedian", "\np95"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in fresh:
        figures = (row.seen_p50, row.seen_p95, row.changed_p50, row.changed_p95)
        texts = ("" if figure is None else _span(figure) for figure in figures)
        table.add_row(row.source, row.window, f"{row.documents:,}", *texts)
    return table


def _age(moment: datetime) -> str:
    return _span((datetime.now(UTC) - moment).total_seconds())


def _span(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _show_unread(document: Unread) -> None:
    _describe(document.source, document.uri, "", f"{document.error_class}: {document.error}")
    _console().print(Text(f"  not read on {_minute(document.failed_at)}", "dim"))


def _show(failure: FailedChunk) -> None:
    kind = "quarantined" if failure.quarantined else "to be retried"
    tries = f"{failure.attempts} attempt{'s' * (failure.attempts != 1)}"
    why = f"{failure.error_class}: {failure.error}"
    _describe(failure.source, failure.uri, failure.heading, why)
    when = f"{_minute(failure.failed_at)}, generation {failure.generation_id}"
    _console().print(Text(_indented(f"{kind} after {tries}, {when}"), "dim"))


def _describe(source: str, uri: str, heading: str, why: str) -> None:
    place = (f"{source}/{uri}", "bold")
    _console().print(Text.assemble(place, (f"  {heading}" if heading else "", "cyan")))
    _console().print(Text(_indented(why), "red"))


def _console() -> Console:
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def _indented(text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return textwrap.indent("\n".join(lines), "  ")


def _print_json(answer: dict[str, Any] | Iterable[Any]) -> None:
    click.echo(json.dumps(answer, default=str, indent=2))
