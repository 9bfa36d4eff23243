"""`ingest serve`: search and answers over HTTP, with a page to try them on."""

from dataclasses import replace

import click

from ingestion_assets.api.access import check_address
from ingestion_assets.api.app import application
from ingestion_assets.api.serving import listen, url_of
from ingestion_assets.api.serving import serve as serve_on
from ingestion_assets.cli.services import index_words, services
from ingestion_assets.settings import Settings


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
    check_address(settings.api_host, settings.api_key)
    with listen(settings.api_host, settings.api_port) as listener, services(settings) as running:
        index_words(running, settings.text_language)
        hosts = settings.ollama_hosts or (running.ollama_host,)
        click.echo(f"Search at {url_of(listener)}; the API is described at /openapi.json", err=True)
        serve_on(application(settings, running.database_url, hosts), listener)
    click.echo("Stopped.", err=True)
