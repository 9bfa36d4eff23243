"""`ingest run`: the sources into the store, through Dagster, with progress and a summary."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ingestion_assets.cli.program import program
from ingestion_assets.cli.progress import progress
from ingestion_assets.cli.services import export, services
from ingestion_assets.cli.summary import Summary, show, summarise
from ingestion_assets.errors import ConfigError
from ingestion_assets.local.services import Services
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Source, load
from ingestion_assets.store.connection import connect
from ingestion_assets.store.ledger import partitions_with_failures
from ingestion_assets.store.status import sources as stored_sources


@click.command()
@click.argument("sources", nargs=-1)
@click.option("--retry-failed", is_flag=True, help="Embed again what failed, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout.")
def run(sources: tuple[str, ...], retry_failed: bool, as_json: bool) -> None:
    """Bring SOURCES up to date; all of sources.yaml when none is named.

    Only what changed is read, chunked and embedded. Exit code 0 when everything is in the
    store, 1 when something failed, 2 when a setting is wrong.
    """
    settings = Settings.from_environment()
    listed = load(settings.sources)
    chosen = _chosen(listed, sources)
    with services(settings) as running:
        _name_left_over(running, listed)
        keys = _failed(running, chosen) if retry_failed else _all(chosen)
        if not keys:
            click.echo("No text has failed.", err=True)
        summaries = _materialize(running, keys, only_failed=retry_failed) if keys else []
    show(summaries, as_json=as_json)
    if any(summary.failures for summary in summaries):
        sys.exit(1)
    if not as_json and not retry_failed:
        click.echo(f'Search it:  {program()} search "how do I retry what failed"', err=True)


def _chosen(listed: Sequence[Source], names: Sequence[str]) -> list[Source]:
    unknown = set(names) - {source.name for source in listed}
    if unknown:
        raise ConfigError(
            f"no source is named {min(unknown)!r}; sources.yaml lists"
            f" {', '.join(source.name for source in listed)}"
        )
    return [source for source in listed if not names or source.name in names]


def _name_left_over(running: Services, listed: Sequence[Source]) -> None:
    with connect(running.database_url) as connection:
        stored = stored_sources(connection)
    for name in sorted(set(stored) - {source.name for source in listed}):
        click.echo(
            f"{name} is stored, but no longer listed: its documents are still found", err=True
        )


def _all(sources: Sequence[Source]) -> dict[str, list[str]]:
    return {source.name: source.partition_keys() for source in sources}


def _failed(running: Services, sources: Sequence[Source]) -> dict[str, list[str]]:
    with connect(running.database_url) as connection:
        failed = {s.name: partitions_with_failures(connection, [s.name]) for s in sources}
    return {name: keys for name, keys in failed.items() if keys}


def _materialize(
    running: Services, keys: Mapping[str, Sequence[str]], *, only_failed: bool
) -> list[Summary]:
    export(running)
    # Dagster takes over a second to import; only this command and `up` need it.
    from ingestion_assets.defs import launch  # noqa: PLC0415

    os.environ.setdefault("DAGSTER_HOME", str(launch.prepare_home(Path.cwd())))
    with progress(running.database_url, keys) as bars:
        return [
            summarise(
                name, bars.follow(name, launch.materialize(keys[name], only_failed=only_failed))
            )
            for name in keys
        ]
