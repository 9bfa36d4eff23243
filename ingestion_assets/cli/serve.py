"""`ingest serve`: search and answers over HTTP, with a page to try them on."""

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import click

from ingestion_assets.api.access import check_address
from ingestion_assets.api.app import application
from ingestion_assets.api.serving import listen, url_of
from ingestion_assets.api.serving import serve as serve_on
from ingestion_assets.cli.services import index_words, services
from ingestion_assets.logs import log_to
from ingestion_assets.settings import Settings

logger = logging.getLogger(__name__)


@click.command(short_help="Serve the search page and the API.")
@click.option("--host", help="Address to listen on.  [INGEST_API_HOST, or 127.0.0.1]")
@click.option("-p", "--port", type=int, help="Port; 0 picks one.  [INGEST_API_PORT, or 8000]")
def serve(host: str | None, port: int | None) -> None:
    """Serve the search page and the API until Ctrl-C or SIGTERM.

    Other machines are served only if INGEST_API_KEY is set.
    """
    settings = Settings.from_environment()
    settings = replace(
        settings,
        api_host=settings.api_host if host is None else host,
        api_port=settings.api_port if port is None else port,
    )
    say: Callable[[str], None] = partial(click.echo, err=True)
    if settings.log_format:
        log_to(sys.stderr, settings.log_format)
        say = logger.info
    check_address(settings.api_host, settings.api_key)
    with listen(settings.api_host, settings.api_port) as listener, services(settings) as running:
        index_words(running, settings.text_language)
        hosts = settings.ollama_hosts or (running.ollama_host,)
        say(f"Search at {url_of(listener)}; the API is described at /openapi.json")
        serve_on(application(settings, running.database_url, hosts), listener)
    say("Stopped.")
