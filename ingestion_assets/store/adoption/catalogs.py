"""What the packages noted beside their tables: pgai's vectorizers, LangChain's collections."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.relation import Relation
from ingestion_assets.store.connection import Connection

_CHUNK = "$chunk"


@dataclass(frozen=True, slots=True)
class Vectorizer:
    """One row of pgai's catalog.

    Attributes:
        source: the table whose rows it embeds.
        model: as its embedder calls it.
        template: what it embeds for a chunk, `$chunk` and columns of the source in it.
    """

    source: str
    model: str
    template: str

    @property
    def prefix(self) -> str | None:
        """What stood before every chunk; none if that, or what came after, is not the same text."""
        lead, _, rest = self.template.partition(_CHUNK)
        return None if rest or "$" in lead or _CHUNK not in self.template else lead


def vectorizer(connection: Connection, table: Relation) -> Vectorizer | None:
    """The vectorizer that fills a table, if pgai's catalog is there and has one."""
    row = connection.execute("SELECT to_regclass('ai.vectorizer')").fetchone()
    if row is None or row[0] is None:
        return None
    for (found,) in connection.execute("SELECT to_jsonb(v) FROM ai.vectorizer v ORDER BY id"):
        config = found["config"]
        place = {**found, **config.get("destination", {})}  # it was in the row, before 0.10
        if (place.get("target_schema"), place.get("target_table")) == (table.schema, table.name):
            return _vectorizer(found, config)
    return None


def _vectorizer(found: Mapping[str, Any], config: Mapping[str, Any]) -> Vectorizer:
    return Vectorizer(
        source=f"{found['source_schema']}.{found['source_table']}",
        model=str(config.get("embedding", {}).get("model", "")),
        template=str(config.get("formatting", {}).get("template", _CHUNK)),
    )


def collection_id(connection: Connection, table: Relation, name: str | None) -> tuple[str, UUID]:
    """Name and id of a LangChain collection; of the only one, if none is named.

    Raises:
        ConfigError: there is none of this name, or there are several; names them.
    """
    query = sql.SQL("SELECT name, uuid FROM {} ORDER BY name")
    query_ = query.format(identifier(table.schema, "langchain_pg_collection"))
    found: dict[str, UUID] = dict(connection.execute(query_, ()).fetchall())
    if name is None and len(found) == 1:
        return next(iter(found.items()))
    if name not in found:
        wrong = "has several collections" if name is None else f"has no collection {name!r}"
        raise ConfigError(
            f"{table.title} {wrong}; name one with --collection: {', '.join(found) or 'none'}"
        )
    return name, found[name]
