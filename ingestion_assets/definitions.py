"""What Dagster loads, and nothing else."""

import sys

import dagster as dg

from ingestion_assets.defs import build
from ingestion_assets.logs import log_ours_to
from ingestion_assets.settings import Settings


@dg.definitions
def defs() -> dg.Definitions:
    """The project's definitions, as the environment configures them."""
    settings = Settings.from_environment()
    if settings.log_format:
        log_ours_to(sys.stderr, settings.log_format)
    return build.definitions(settings)
