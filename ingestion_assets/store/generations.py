"""Generations of embeddings: one table for each way of making vectors, one of them active."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ingestion_assets.store.connection import Connection

_HALFVEC_ABOVE = 2000  # HNSW indexes a vector up to 2,000 dimensions, a halfvec up to 4,000
_INLINE_BYTES = 8000  # a wider row cannot stay on its 8 kB page and must be TOASTed
_ROW = """
SELECT generation_id, model, digest, dimensions, storage, document_prefix, query_prefix, options,
       status
FROM ingestion.generations WHERE {}
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How vectors are made; a change of any part makes vectors that must not be mixed.

    Attributes:
        digest: the model's digest, as Ollama lists it.
        options: Ollama's runner options, the same for every request.
    """

    model: str
    digest: str
    dimensions: int
    document_prefix: str
    query_prefix: str
    options: Mapping[str, Any]

    @property
    def storage(self) -> str:
        """Postgres type of a vector: `vector`, or `halfvec` above 2,000 dimensions."""
        return "halfvec" if self.dimensions > _HALFVEC_ABOVE else "vector"

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

    @property
    def name(self) -> str:
        """Name of its table in the schema `ingestion`."""
        return f"embeddings_{self.generation_id}"

    @property
    def table(self) -> sql.Identifier:
        """Its table, for composing SQL."""
        return sql.Identifier("ingestion", self.name)


def active(connection: Connection) -> Generation | None:
    """The generation that search reads, if there is one."""
    return _one(connection, "status = 'active'", ())


def in_use(connection: Connection) -> list[Generation]:
    """The active generation, and after it those that are building."""
    query = sql.SQL(_ROW).format(sql.SQL("status <> 'retired' ORDER BY status, generation_id"))
    with connection.cursor(row_factory=class_row(Generation)) as cursor:
        return cursor.execute(query).fetchall()


def open_generation(connection: Connection, recipe: Recipe) -> Generation:
    """The generation of this recipe; the first one ever is active at once, others are building.

    When it is new, or was retired, every chunk that has no vector in it is enqueued.
    """
    with connection.transaction():
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('ingestion:generations', 0))"
        )
        found = _one(connection, "fingerprint = %s", (recipe.fingerprint,))
        if found is not None and found.status != "retired":
            return found
        return _fill(connection, found or _create(connection, recipe))


def activate_when_covered(connection: Connection, generation: Generation) -> bool:
    """Make a building generation active, once every chunk has its vector in it or is quarantined.

    One without any vector is not: a model that can embed nothing must not empty the search.
    Superseded chunks are deleted with the change: in this generation all are replaced.

    Returns:
        Whether the generation is active now.
    """
    if generation.status == "active":
        return True
    with connection.transaction():
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('ingestion:generations', 0))"
        )
        missing = sql.SQL(
            "SELECT NOT EXISTS (SELECT FROM {0}) OR EXISTS ("
            "SELECT FROM ingestion.chunks c LEFT JOIN {0} e USING (chunk_id)"
            " WHERE NOT c.superseded AND e.content_hash IS DISTINCT FROM c.content_hash"
            " AND NOT EXISTS (SELECT FROM ingestion.ledger l WHERE l.generation_id = %s"
            " AND l.chunk_id = c.chunk_id AND l.content_hash = c.content_hash AND l.quarantined))"
        ).format(generation.table)
        row = connection.execute(missing, (generation.generation_id,)).fetchone()
        if row is None or row[0]:
            return False
        _activate(connection, generation)
        connection.execute("DELETE FROM ingestion.chunks WHERE superseded")
        return True


def _create(connection: Connection, recipe: Recipe) -> Generation:
    row = connection.execute(
        "INSERT INTO ingestion.generations (model, digest, dimensions, storage, document_prefix,"
        " query_prefix, options, fingerprint) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        " RETURNING generation_id",
        (
            recipe.model,
            recipe.digest,
            recipe.dimensions,
            recipe.storage,
            recipe.document_prefix,
            recipe.query_prefix,
            Jsonb(dict(recipe.options)),
            recipe.fingerprint,
        ),
    ).fetchone()
    generation = _one(connection, "generation_id = %s", row or ())
    if generation is None:
        raise AssertionError("the row that was just inserted is not there")
    create_table(connection, generation)
    return generation


def _fill(connection: Connection, generation: Generation) -> Generation:
    key = (generation.generation_id,)
    connection.execute(
        "UPDATE ingestion.generations SET status = 'building' WHERE generation_id = %s", key
    )
    if active(connection) is None:
        _activate(connection, generation)
    # Who is writing chunks now does not know that they are wanted here, and is waited for; who
    # comes later does, and enqueues them.
    connection.execute("LOCK TABLE ingestion.chunks IN SHARE MODE")
    connection.execute("SELECT ingestion.enqueue_missing(%s, NULL)", key)
    return _one(connection, "generation_id = %s", key) or generation


def create_table(connection: Connection, generation: Generation) -> None:
    """Make the empty table of a generation that has none."""
    width = generation.dimensions * (2 if generation.storage == "halfvec" else 4)
    connection.execute(
        sql.SQL(
            "CREATE TABLE {table} ("
            " chunk_id uuid PRIMARY KEY REFERENCES ingestion.chunks ON DELETE CASCADE,"
            " content_hash bytea NOT NULL,"
            " embedding {type}({dimensions}) NOT NULL,"
            " embedded_at timestamptz NOT NULL DEFAULT now());"
            "ALTER TABLE {table} ALTER embedding SET STORAGE {storage};"
            "CREATE INDEX ON {table} (content_hash)"
        ).format(
            table=generation.table,
            type=sql.SQL(generation.storage),
            dimensions=sql.Literal(generation.dimensions),
            storage=sql.SQL("PLAIN" if width <= _INLINE_BYTES else "EXTERNAL"),
        )
    )


def _activate(connection: Connection, generation: Generation) -> None:
    connection.execute(
        "UPDATE ingestion.generations SET status = 'retired' WHERE status = 'active'"
    )
    connection.execute(
        "UPDATE ingestion.generations SET status = 'active', activated_at = now()"
        " WHERE generation_id = %s",
        (generation.generation_id,),
    )
    connection.execute("SELECT ingestion.show_generation(%s)", (generation.generation_id,))


def _one(connection: Connection, condition: str, parameters: tuple[Any, ...]) -> Generation | None:
    query = sql.SQL(_ROW).format(sql.SQL(condition))
    with connection.cursor(row_factory=class_row(Generation)) as cursor:
        return cursor.execute(query, parameters).fetchone()
