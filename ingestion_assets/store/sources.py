"""The sources that the store knows, and the buckets their documents are spread over."""

import re
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
WHERE s.kind <> 'adopted' OR EXCLUDED.kind = 'adopted'
RETURNING buckets
"""
_UNLISTED = """
SELECT name FROM ingestion.sources WHERE kind <> ALL(%s) AND name <> ALL(%s) ORDER BY name
"""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def name_for(given: str | None, table: str, option: str) -> str:
    """The name that was given with an option, or one that is made of a table's.

    Raises:
        ConfigError: it cannot be the name of a source.
    """
    name = given or re.sub(r"[^a-z0-9_-]+", "-", table.lower()).strip("-_")[:63]
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"{option} {name!r}: use 1 to 63 of a-z 0-9 . _ -, a letter or digit first, and no"
            " double dot"
        )
    return name


def register(
    connection: Connection, name: str, kind: str, buckets: int, config: Mapping[str, Any]
) -> None:
    """Store a source's present configuration, unless it is refused.

    Raises:
        ConfigError: the number of buckets differs from the one its documents are stored under, or
            the name is that of an adopted table, whose documents would all count as gone.
    """
    with connection.transaction():
        row = connection.execute(_UPSERT, (name, kind, Jsonb(dict(config)), buckets)).fetchone()
        if row is None:
            raise ConfigError(
                f"a source named {name!r} was adopted from a table; name this one otherwise, or"
                f" delete what was adopted:  ingest sources remove {name}"
            )
        if row[0] != buckets:
            raise ConfigError(
                f"source {name!r} has buckets: {buckets}, but its documents are stored under"
                f" {row[0]}; set buckets back to {row[0]}, then: ingest rebucket {name} {buckets}"
            )


def unlisted(
    connection: Connection, listed: Collection[str], *, but: Collection[str] = ("table",)
) -> list[str]:
    """Sources that are stored and not listed any more.

    Args:
        but: kinds that never are listed; attached tables at least.
    """
    return [name for (name,) in connection.execute(_UNLISTED, (list(but), list(listed)))]
