"""`ingest detach`: an attached table as it was before."""

import click

from ingestion_assets.cli.services import stored
from ingestion_assets.settings import Settings
from ingestion_assets.store.attached import detach as detach_table
from ingestion_assets.store.connection import connect


@click.command(short_help="Leave an attached table as it was.")
@click.argument("name")
def detach(name: str) -> None:
    """Take back what `ingest attach` did to the table that is attached as NAME.

    Triggers and columns that were added go. Columns that were there before keep what is in them.
    """
    with stored(Settings.from_environment()) as url, connect(url) as connection:
        gone = detach_table(connection, name)
    removed = ", ".join(gone.undo["columns"])
    click.echo(f"Detached {gone.title}.", err=True)
    if removed:
        click.echo(f"Removed from it: {removed}.", err=True)
