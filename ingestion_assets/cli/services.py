"""Settings in, running services out; what was started is said on stderr."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ingestion_assets.embedding import parse_host
from ingestion_assets.errors import StoreError
from ingestion_assets.local.services import Services, local_services
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.index import build_text_index
from ingestion_assets.store.schema import migrate


@contextmanager
def services(settings: Settings) -> Iterator[Services]:
    """Start what the settings leave to us, and bring the database up to date.

    Raises:
        ConfigError: an Ollama host is malformed.
    """
    for host in (settings.ollama_host, *settings.ollama_hosts):
        parse_host(host)
    with local_services(settings) as running:
        for note in running.notes:
            click.secho(note, dim=True, err=True)
        migrate(running.database_url)
        yield running


def index_words(running: Services, language: str) -> None:
    """See to the index over the words of the chunks; the first search after a load builds it."""
    try:
        with connect(running.database_url) as connection:
            build_text_index(connection, language)
    except StoreError as exc:
        click.echo(f"Words are searched without an index, slowly: {exc}", err=True)


def export(running: Services) -> None:
    """Tell Dagster, and the processes it starts, where the services are."""
    os.environ["INGESTION_DATABASE_URL"] = running.database_url
    if not os.environ.get("OLLAMA_HOSTS"):
        os.environ["OLLAMA_HOST"] = running.ollama_host
