"""Where the servers are, for Dagster processes that no `ingest` command started.

Plain `dagster dev` and `dg` work without any variable too: what the environment does not name is
joined, or started, and left when the process ends.
"""

import atexit
from contextlib import ExitStack
from functools import cache

from ingestion_assets.local.services import database_service, ollama_service
from ingestion_assets.settings import Settings

_joined = ExitStack()
atexit.register(_joined.close)


@cache
def database_url() -> str:
    """INGESTION_DATABASE_URL, or the embedded Postgres."""
    return _joined.enter_context(database_service(Settings.from_environment())).address


@cache
def ollama_host() -> str:
    """OLLAMA_HOST, the Ollama of this machine, or the built-in embedder."""
    return _joined.enter_context(ollama_service(Settings.from_environment())).address
