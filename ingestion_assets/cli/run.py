"""`ingest run`: the sources into the store, through Dagster, with progress and a summary."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ingestion_assets.cli.progress import progress
from ingestion_assets.cli.services import export, services
from ingestion_assets.cli.summary import Summary, show, summarise
from ingestion_assets.errors import ConfigError
from ingestion_assets.local.services import Services
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Source, load


@click.command()
@click.argument("sources", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout.")
def run(sources: tuple[str, ...], as_json: bool) -> None:
    """Bring SOURCES up to date; all of sources.yaml when none is named.

    Only what changed is read, chunked and embedded. Exit code 0 when everything is in the
    store, 1 when something failed, 2 when a setting is wrong.
    """
    settings = Settings.from_environment()
    chosen = _chosen(load(settings.sources), sources)
    with services(settings) as running:
        summaries = _materialize(settings, running, chosen)
    show(summaries, as_json=as_json)
    if any(summary.failures for summary in summaries):
        sys.exit(1)
    if not as_json:
        click.echo('Search it:  ingest search "how do I retry what failed"', err=True)


def _chosen(listed: Sequence[Source], names: Sequence[str]) -> list[Source]:
    unknown = set(names) - {source.name for source in listed}
    if unknown:
        raise ConfigError(
            f"no source is named {sorted(unknown)[0]!r}; sources.yaml lists"
            f" {', '.join(source.name for source in listed)}"
        )
    return [source for source in listed if not names or source.name in names]


def _materialize(settings: Settings, running: Services, sources: Sequence[Source]) -> list[Summary]:
    export(running)
    # Dagster takes over a second to import; only this command and `up` need it.
    from ingestion_assets.defs import launch  # noqa: PLC0415

    os.environ.setdefault("DAGSTER_HOME", str(launch.prepare_home(Path.cwd())))
    keys = {source.name: source.partition_keys() for source in sources}
    with progress(running.database_url, keys) as bars:
        return [
            summarise(source.name, bars.follow(source.name, launch.materialize(keys[source.name])))
            for source in sources
        ]
