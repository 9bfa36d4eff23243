"""Settings in, running services out; what was started is said on stderr."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ingestion_assets.embedding import parse_host
from ingestion_assets.errors import ConfigError, StoreError
from ingestion_assets.local.services import Services, database_service, local_services
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


@contextmanager
def stored(settings: Settings) -> Iterator[str]:
    """URL of the database, brought up to date; for commands that only look at what is stored.

    Raises:
        ConfigError: there is none; an empty one would only hide that this is the wrong folder.
    """
    require_store(settings)
    with database_service(settings) as found:
        if found.note:
            click.secho(found.note, dim=True, err=True)
        migrate(found.address)
        yield found.address


def require_project() -> None:
    """Refuse to start anything in a folder where Dagster could not run.

    Raises:
        ConfigError: the present folder is no project's.
    """
    if not Path("dagster.yaml").is_file():
        raise ConfigError(
            f"there is no dagster.yaml in {str(Path.cwd())!r}; go to the project's folder"
        )


def require_store(settings: Settings) -> None:
    """Refuse to go on where nothing was ever stored.

    Raises:
        ConfigError: the database would be the embedded one, and that was never started here.
    """
    folder = settings.state / "postgres"
    if settings.database_url is None and not folder.exists():
        raise ConfigError(
            f"nothing is stored here: there is no database in {str(folder)!r}; go to the project's"
            " folder, run `ingest run` first, or set INGESTION_DATABASE_URL"
        )


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
