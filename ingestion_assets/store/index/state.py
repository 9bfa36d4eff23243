"""How the approximate index of a generation is, from Postgres' own views."""

from dataclasses import dataclass
from typing import Any

import orjson
from psycopg.rows import dict_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations.generation import Generation

INDEX_FROM = 100_000  # vectors from which a search without an index is slow
INDEXABLE = {"vector": 2000, "halfvec": 4000}  # dimensions, at most
OPERATORS = {"vector": "vector_cosine_ops", "halfvec": "halfvec_cosine_ops"}

_STATE = """
SELECT i.indisvalid AS valid, p.relid IS NOT NULL AS building,
       a.amname = 'hnsw' AND o.opcname = %(operators)s AND i.indpred IS NULL AS serves,
       CASE WHEN p.blocks_total > 0 THEN p.blocks_done::float8 / p.blocks_total END AS share,
       obj_description(i.indexrelid, 'pg_class') AS note
FROM (VALUES (to_regclass(%(table)s), to_regclass(%(index)s))) AS ours (stored, named)
LEFT JOIN pg_index i ON i.indexrelid = named
LEFT JOIN pg_class c ON c.oid = named
LEFT JOIN pg_am a ON a.oid = c.relam
LEFT JOIN pg_opclass o ON o.oid = i.indclass[0]
LEFT JOIN pg_stat_progress_create_index p
       ON p.relid = stored AND p.index_relid IN (named, to_regclass(%(beside)s))
"""


@dataclass(frozen=True, slots=True)
class IndexState:
    """The approximate index of a generation.

    Attributes:
        state: none, building, valid, invalid: what an interrupted build leaves, or wrong: one that
            no search can use.
        progress: share of the table that is read, while it is built, or another in its place; none
            if unknown.
        recall: share of what is nearest that it found; none if it was not measured.
    """

    state: str
    progress: float | None = None
    recall: float | None = None
    ef_search: int | None = None


def vector_index(generation: Generation) -> str:
    """Name of the approximate index of a generation."""
    return f"{generation.name}_hnsw"


def beside(generation: Generation) -> tuple[str, str]:
    """Names of the index that is to follow it, and of the one that it followed."""
    return f"{vector_index(generation)}_next", f"{vector_index(generation)}_last"


def index_state(connection: Connection, generation: Generation) -> IndexState:
    """How the approximate index of a generation is now."""
    names = {
        "table": f'ingestion."{generation.name}"',
        "index": f'ingestion."{vector_index(generation)}"',
        "beside": f'ingestion."{beside(generation)[0]}"',
        "operators": OPERATORS[generation.storage],
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_STATE, names).fetchone() or {}
    note = _note(row["note"])
    match row["valid"]:
        case None:
            return IndexState("none")
        case False:
            return (
                IndexState("building", row["share"]) if row["building"] else IndexState("invalid")
            )
    state = "valid" if row["serves"] else "wrong"
    return IndexState(state, row["share"], note.get("recall"), note.get("ef_search"))


def _note(comment: str | None) -> dict[str, Any]:
    """What was measured and written on the index; empty if it is no note of ours."""
    try:
        found = orjson.loads(comment or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
