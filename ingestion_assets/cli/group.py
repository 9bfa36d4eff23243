"""The command group, and the one place where errors become exit codes."""

import sys
import traceback
from typing import Any

import click

from ingestion_assets import __version__
from ingestion_assets.cli.migrate import migrate
from ingestion_assets.cli.run import run
from ingestion_assets.cli.search import search
from ingestion_assets.cli.status import status
from ingestion_assets.cli.up import up
from ingestion_assets.errors import ConfigError, IngestionError

PARTIAL_FAILURE = 1
USAGE = 2


class Ingest(click.Group):
    """A group whose commands fail with one line, not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted. What is done is kept: run it again to go on.", err=True)
            sys.exit(PARTIAL_FAILURE)
        except IngestionError as exc:
            if ctx.params.get("verbose"):
                traceback.print_exc()
            click.secho(f"Error: {exc}", fg="red", err=True)
            sys.exit(USAGE if isinstance(exc, ConfigError) else PARTIAL_FAILURE)


@click.group(cls=Ingest, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--verbose", is_flag=True, help="Show tracebacks of errors.")
def main(verbose: bool) -> None:
    """Keep Postgres/pgvector in step with your documents.

    Without settings everything runs on this machine: an embedded Postgres and a built-in
    embedding model. Set INGESTION_DATABASE_URL and OLLAMA_HOST to use your own servers.
    """


for command in (run, up, status, search, migrate):
    main.add_command(command)
