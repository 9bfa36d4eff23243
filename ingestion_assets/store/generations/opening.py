"""A recipe in, a generation that is being filled out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations.generation import (
    Generation,
    Recipe,
    active,
    find,
    lock,
    one,
)

_INLINE_BYTES = 8000  # a wider row cannot stay on its 8 kB page and must be TOASTed
_INSERT = """
INSERT INTO ingestion.generations (model, digest, dimensions, storage, document_prefix,
    query_prefix, options, fingerprint, shortened, plan)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING generation_id
"""
_DECIDE = """
UPDATE ingestion.generations SET plan = %s, golden = %s, gate = NULL, asked_for = true
WHERE generation_id = %s
"""
# A model that was never stored is wanted by whoever names it. One that was is not wanted again for
# being named by a process that was not told of its successor; but it may have been pulled anew.
_HEEDS = """
SELECT NOT EXISTS (SELECT FROM ingestion.generations WHERE model = %(model)s)
    OR EXISTS (SELECT FROM ingestion.generations
               WHERE model = %(model)s AND status = 'active' AND NOT asked_for)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes a generation active. It is stored, so that whoever completes it does the same.

    Attributes:
        coverage: share of the texts that must have their vector, those in quarantine left out.
        activate: whether it becomes active by itself.
        grace_days: that the one it replaces is kept complete; 0 lets that one go.
        tolerance: by which its figures with the golden questions may be below the active one's.
    """

    coverage: float = 1.0
    activate: bool = True
    grace_days: float = 7.0
    tolerance: float = 0.02


def open_generation(connection: Connection, recipe: Recipe, plan: Plan | None = None) -> Generation:
    """The generation of this recipe; the first one ever is active at once, others are building.

    When it is new, or was retired or dropped, every chunk that has no vector in it is enqueued.

    Args:
        plan: for a new one.
    """
    with connection.transaction():
        lock(connection)
        found = one(connection, "fingerprint = %s", (recipe.fingerprint,))
        if found is None:
            return _fill(connection, _create(connection, recipe, plan or Plan()))
        if found.status == "dropped":
            create_table(connection, found)
        return found if found.status in ("active", "building") else _fill(connection, found)


def heeds(connection: Connection, model: str) -> bool:
    """Whether the settings may open a generation of the model that they name.

    They may as long as no operator has chosen: what is wanted is what the store says.
    """
    row = connection.execute(_HEEDS, {"model": model}).fetchone()
    return row is not None and bool(row[0])


def open_wanted(connection: Connection, recipe: Recipe, plan: Plan) -> None:
    """Open the generation of the settings' recipe, if there never was one."""
    if one(connection, "fingerprint = %s", (recipe.fingerprint,)) is None:
        open_generation(connection, recipe, plan)


def reembed(
    connection: Connection,
    recipe: Recipe,
    plan: Plan,
    golden: Sequence[Mapping[str, Any]] | None = None,
) -> Generation:
    """Open a generation as an operator asks; one that is building already gets the new plan.

    The active one is left as it is, and returned.

    Args:
        golden: questions by which it is judged, each `query` and `uris`.
    """
    with connection.transaction():
        opened = open_generation(connection, recipe, plan)
        if opened.status == "building":
            asked = Jsonb(list(golden)) if golden else None
            connection.execute(_DECIDE, (Jsonb(asdict(plan)), asked, opened.generation_id))
    return opened


def _create(connection: Connection, recipe: Recipe, plan: Plan) -> Generation:
    row = connection.execute(
        _INSERT,
        (
            recipe.model,
            recipe.digest,
            recipe.dimensions,
            recipe.storage,
            recipe.document_prefix,
            recipe.query_prefix,
            Jsonb(dict(recipe.options)),
            recipe.fingerprint,
            recipe.shortened,
            Jsonb(asdict(plan)),
        ),
    ).fetchone()
    generation = find(connection, row[0]) if row else None
    if generation is None:
        raise AssertionError("the row that was just inserted is not there")
    create_table(connection, generation)
    return generation


def _fill(connection: Connection, generation: Generation) -> Generation:
    key = (generation.generation_id,)
    status = "building" if active(connection) else "active"
    connection.execute(
        "UPDATE ingestion.generations SET status = %s, gate = NULL, maintained = false,"
        " retired_at = NULL, drop_after = NULL,"
        " activated_at = CASE %s WHEN 'active' THEN now() END WHERE generation_id = %s",
        (status, status, *key),
    )
    if status == "active":
        connection.execute("SELECT ingestion.show_generation(%s)", key)
    # Who is writing chunks now does not know that they are wanted here, and is waited for; who
    # comes later does, and enqueues them.
    connection.execute("LOCK TABLE ingestion.chunks IN SHARE MODE")
    connection.execute("SELECT ingestion.enqueue_missing(%s, NULL)", key)
    return find(connection, *key) or generation


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
