"""The command group, and the one place where errors become exit codes."""

import sys
import traceback
from importlib import import_module
from typing import Any

import click

from ingestion_assets import __version__
from ingestion_assets.errors import ConfigError, IngestionError

PARTIAL_FAILURE = 1
USAGE = 2

# Command and the module beside this one that has it, in the order of the help.
COMMANDS = {
    "run": "run",
    "up": "up",
    "status": "status",
    "report": "report",
    "sources": "sources",
    "documents": "documents",
    "doctor": "doctor",
    "rebucket": "rebucket",
    "search": "search",
    "answer": "answer",
    "index": "index",
    "export": "export",
    "generations": "generations",
    "reembed": "reembed",
    "serve": "serve",
    "worker": "worker",
    "attach": "attach",
    "detach": "detach",
    "attachments": "attachments",
    "adopt": "adopt",
    "migrate": "migrate",
}


class Ingest(click.Group):
    """A group whose commands fail with one line, not with a traceback.

    A command is imported when it is asked for: together they need three times the memory of one.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"ingestion_assets.cli.{COMMANDS[cmd_name]}"), cmd_name
        )
        return command

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
