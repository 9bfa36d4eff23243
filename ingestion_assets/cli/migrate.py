"""`ingest migrate`: the database at this version's schema."""

import click

from ingestion_assets.errors import ConfigError
from ingestion_assets.settings import Settings
from ingestion_assets.store import schema


@click.command(short_help="Bring the database's schema up to date.")
def migrate() -> None:
    """Bring the database of INGESTION_DATABASE_URL to this version's schema.

    Every other command does the same when it starts; this one is for deployments that
    migrate as a step of their own.
    """
    url = Settings.from_environment().database_url
    if url is None:
        raise ConfigError(
            "INGESTION_DATABASE_URL is not set; the embedded Postgres migrates itself"
        )
    applied = schema.migrate(url)
    for name in applied:
        click.echo(name)
    if not applied:
        click.echo("up to date", err=True)
