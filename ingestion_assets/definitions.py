"""What Dagster loads, and nothing else."""

import dagster as dg

from ingestion_assets.defs import build
from ingestion_assets.settings import Settings


@dg.definitions
def defs() -> dg.Definitions:
    """The project's definitions, as the environment configures them."""
    return build.definitions(Settings.from_environment())
