"""`ingest rebucket`: a source's documents into another number of partitions."""

import os
from dataclasses import replace
from pathlib import Path

import click

from ingestion_assets.cli.completion import source_names
from ingestion_assets.cli.services import export, require_project, services
from ingestion_assets.errors import ConfigError
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Source, edit, load
from ingestion_assets.store.connection import connect
from ingestion_assets.store.rebucket import rebucket as move
from ingestion_assets.store.rebucket import stored_buckets


@click.command(short_help="Move a source to another number of partitions.")
@click.argument("source", shell_complete=source_names)
@click.argument("buckets", type=int)
def rebucket(source: str, buckets: int) -> None:
    """Move the documents of SOURCE to BUCKETS partitions, a power of two.

    Nothing is read, chunked or embedded again, and search goes on meanwhile. It is done in one
    transaction, while no run of the source is under way; then sources.yaml is changed.
    """
    settings = Settings.from_environment()
    listed = {s.name: s for s in load(settings.sources)}
    if source not in listed:
        raise ConfigError(
            f"no source is named {source!r}; sources.yaml lists {', '.join(sorted(listed))}"
        )
    edit.check_buckets(settings.sources, source, buckets)
    require_project()
    with services(settings) as running:
        export(running)
        # Dagster takes over a second to import.
        from ingestion_assets.defs import launch  # noqa: PLC0415

        os.environ.setdefault("DAGSTER_HOME", str(launch.prepare_home(Path.cwd())))
        after = replace(listed[source], buckets=buckets)
        with connect(running.database_url) as connection:
            stored = stored_buckets(connection, source)
            before = replace(after, buckets=stored or listed[source].buckets)
            keys = sorted({*before.partition_keys(), *after.partition_keys()})
            moved = move(connection, source, buckets, keys=keys, key_of=after.partition_key)
        edit.set_buckets(settings.sources, source, buckets)
        launch.replace_partitions(_only(before, after), after.partition_keys())
    click.echo(f"{source}: {moved:,} documents moved to {buckets} partitions", err=True)


def _only(before: Source, after: Source) -> list[str]:
    return sorted({*before.partition_keys()} - {*after.partition_keys()})
