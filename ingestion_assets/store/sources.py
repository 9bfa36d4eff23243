"""The sources that the store knows, and the buckets their documents are spread over."""

from collections.abc import Collection, Mapping
from typing import Any

from psycopg.types.json import Jsonb

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.connection import Connection

_UPSERT = """
INSERT INTO ingestion.sources AS s (name, kind, config, buckets) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET kind = EXCLUDED.kind, config = EXCLUDED.config,
    buckets = CASE WHEN EXISTS (SELECT FROM ingestion.documents WHERE source = s.name)
              THEN s.buckets ELSE EXCLUDED.buckets END
RETURNING buckets
"""

_UNLISTED = """
SELECT name FROM ingestion.sources WHERE kind <> 'table' AND name <> ALL(%s) ORDER BY name
"""


def register(
    connection: Connection, name: str, kind: str, buckets: int, config: Mapping[str, Any]
) -> None:
    """Store a source's present configuration, unless it is refused.

    Raises:
        ConfigError: the number of buckets differs from the one its documents are stored under.
    """
    with connection.transaction():
        row = connection.execute(_UPSERT, (name, kind, Jsonb(dict(config)), buckets)).fetchone()
        if row is not None and row[0] != buckets:
            raise ConfigError(
                f"source {name!r} has buckets: {buckets}, but its documents are stored under"
                f" {row[0]}; set buckets back to {row[0]}, then: ingest rebucket {name} {buckets}"
            )


def unlisted(connection: Connection, listed: Collection[str]) -> list[str]:
    """Sources that are stored and not listed any more; attached tables are none of them."""
    return [name for (name,) in connection.execute(_UNLISTED, (list(listed),))]
