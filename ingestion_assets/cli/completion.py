"""What the shell completes after Tab, beyond commands and options."""

import click

from ingestion_assets.errors import IngestionError
from ingestion_assets.settings import Settings
from ingestion_assets.sources import load


def source_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Sources of sources.yaml that begin as typed; none where it cannot be read."""
    try:
        listed = load(Settings.from_environment().sources)
    except IngestionError:
        return []  # whoever presses Tab wants no error message
    return [source.name for source in listed if source.name.startswith(begun)]
