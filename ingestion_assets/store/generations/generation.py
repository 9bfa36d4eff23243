"""What a generation is, and which ones there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, LiteralString

import orjson
from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection

_HALFVEC_ABOVE = 2000  # HNSW indexes a vector up to 2,000 dimensions, a halfvec up to 4,000
_ROW = """
SELECT generation_id, model, digest, dimensions, storage, document_prefix, query_prefix, options,
       status, shortened
FROM ingestion.generations WHERE {}
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How vectors are made; a change of any part makes vectors that must not be mixed.

    Attributes:
        digest: the model's digest, as Ollama lists it.
        options: Ollama's runner options, the same for every request.
        shortened: whether the model gives more dimensions, and is asked for so many of them.
        halved: whether they are stored in half precision, however few they are.
    """

    model: str
    digest: str
    dimensions: int
    document_prefix: str
    query_prefix: str
    options: Mapping[str, Any]
    shortened: bool = False
    halved: bool = False

    @property
    def storage(self) -> str:
        """Postgres type of a vector: `vector`, or `halfvec` above 2,000 dimensions or if asked."""
        return "halfvec" if self.halved or self.dimensions > _HALFVEC_ABOVE else "vector"

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that name the recipe."""
        parts = [
            self.model, self.digest, self.dimensions, self.storage,
            self.document_prefix, self.query_prefix, self.options,
        ]  # fmt: skip
        packed = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
        return blake2b(packed, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Generation:
    """One row of the generations table."""

    generation_id: int
    model: str
    digest: str
    dimensions: int
    storage: str
    document_prefix: str
    query_prefix: str
    options: Mapping[str, Any]
    status: str
    shortened: bool = False

    @property
    def name(self) -> str:
        """Name of its table in the schema `ingestion`."""
        return f"embeddings_{self.generation_id}"

    @property
    def table(self) -> sql.Identifier:
        """Its table, for composing SQL."""
        return sql.Identifier("ingestion", self.name)

    @property
    def asked_dimensions(self) -> int | None:
        """Dimensions that the model is to be asked for; none if it gives so many by itself."""
        return self.dimensions if self.shortened else None


def active(connection: Connection) -> Generation | None:
    """The generation that search reads, if there is one."""
    return one(connection, "status = 'active'", ())


def in_use(connection: Connection) -> list[Generation]:
    """The active generation, and after it those that are building."""
    return _all(connection, "status IN ('active', 'building') ORDER BY status, generation_id")


def filled(connection: Connection) -> list[Generation]:
    """Those that every text goes to: active, building, and retired ones that are kept complete."""
    return _all(
        connection,
        "generation_id IN (SELECT generation_id FROM ingestion.filled)"
        " ORDER BY status, generation_id",
    )


def find(connection: Connection, generation_id: int) -> Generation | None:
    """A generation by its number; dropped ones are known too."""
    return one(connection, "generation_id = %s", (generation_id,))


def one(
    connection: Connection, condition: LiteralString, parameters: tuple[Any, ...]
) -> Generation | None:
    """The generation that meets a condition of SQL, if one does."""
    query = sql.SQL(_ROW).format(sql.SQL(condition))
    with connection.cursor(row_factory=class_row(Generation)) as cursor:
        return cursor.execute(query, parameters).fetchone()


def _all(connection: Connection, condition: LiteralString) -> list[Generation]:
    query = sql.SQL(_ROW).format(sql.SQL(condition))
    with connection.cursor(row_factory=class_row(Generation)) as cursor:
        return cursor.execute(query).fetchall()


def lock(connection: Connection) -> None:
    """Wait until nobody else changes what generations there are; until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('ingestion:generations', 0))")
