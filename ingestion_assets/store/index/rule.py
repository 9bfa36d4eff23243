"""When vectors are written through the approximate index, and when it is built anew.

A vector costs 2.4 ms to write through an index of 100,000, and 0.5 ms in a build; taking 1 % of
them out of a graph costs as much as building it.
"""

from dataclasses import dataclass
from enum import Enum

from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations.generation import Generation
from ingestion_assets.store.index import building
from ingestion_assets.store.index.state import (
    INDEX_FROM,
    INDEXABLE,
    beside,
    index_state,
    vector_index,
)

LOADED = 0.2  # of the vectors there are: from there on a build costs less than the writing
REPLACED = 0.01  # of the vectors, that are dead in the graph
BEARABLE = 1_000_000  # vectors, that a question is compared with in half a second

# A build vacuums, so an index is replaced once a day at most, even if dead rows cannot go yet.
_FIGURES = """
SELECT greatest(c.reltuples, s.n_live_tup, 0)::bigint AS rows,
       coalesce(s.n_dead_tup, 0) AS dead,
       coalesce(s.last_vacuum > now() - interval '1 day', false) AS vacuumed,
       to_regclass(%(beside)s) IS NOT NULL OR to_regclass(%(followed)s) IS NOT NULL AS left_over
FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.oid = to_regclass(%(table)s)
"""
_WAITING = """
SELECT count(*) FROM (
    SELECT FROM ingestion.ledger WHERE generation_id = %s AND NOT quarantined LIMIT %s) waiting
"""
_UNDER_WAY = """
SELECT EXISTS (
    SELECT FROM ingestion.ledger l LEFT JOIN ingestion.owners o USING (owner)
    WHERE l.generation_id = %s AND NOT l.quarantined AND l.owner IS NOT NULL
      AND greatest(l.lease_until, o.lease_until) > now())
"""


class Move(Enum):
    """What is to be done with the index."""

    KEEP = "kept"
    BUILD = "built"
    REPLACE = "replaced"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done, why, and for how many vectors, as Postgres last knew."""

    move: Move
    why: str
    rows: int = 0


@dataclass(frozen=True, slots=True)
class _Figures:
    rows: int
    dead: int
    vacuumed: bool
    left_over: bool


def judge(connection: Connection, generation: Generation) -> Verdict:
    """What the index of the active generation needs now; reads no table of vectors."""
    if generation.dimensions > INDEXABLE[generation.storage]:
        return Verdict(Move.KEEP, f"no index takes {generation.dimensions:,} dimensions")
    found = _figures(connection, generation)
    verdict = _of_state(index_state(connection, generation).state, found)
    if verdict.move is not Move.KEEP and _is_loading(connection, generation, found.rows):
        return Verdict(Move.KEEP, f"it waits for the end of a load: {verdict.why}", found.rows)
    return verdict


def make_way(connection: Connection, generation: Generation) -> int:
    """Drop the index before a load that would cost more through it than to build it again.

    Searches compare with every vector until it is built: what they find is right, and takes longer.

    Returns:
        How many texts wait to be loaded, if it was dropped; else 0.
    """
    if index_state(connection, generation).state != "valid":
        return 0
    rows = _figures(connection, generation).rows
    waiting = _waiting(connection, generation, max(rows, INDEX_FROM))
    if rows > BEARABLE or rows + waiting <= INDEX_FROM or waiting <= LOADED * rows:
        return 0
    name = vector_index(generation)
    with building.sole(connection, name) as mine:
        if not mine:
            return 0
        building.drop(connection, name)
    return waiting


def _of_state(state: str, found: _Figures) -> Verdict:
    rows = found.rows
    useless = {
        "invalid": "an interrupted build left it invalid",
        "wrong": "its operator class is not that of the searches",
        "none": f"{rows:,} vectors have none",
    }
    if state == "building":
        return Verdict(Move.KEEP, "it is being built", rows)
    if state == "none" and rows <= INDEX_FROM:
        return Verdict(Move.KEEP, f"{rows:,} vectors are searched exactly", rows)
    if state in useless:
        return Verdict(Move.BUILD, useless[state], rows)
    if found.left_over:
        return Verdict(Move.BUILD, "an interrupted build left another beside it", rows)
    if found.dead > REPLACED * rows and not found.vacuumed and rows > INDEX_FROM:
        return Verdict(Move.REPLACE, f"{found.dead:,} of {rows:,} were replaced or deleted", rows)
    return Verdict(Move.KEEP, "it is as it should be", rows)


def _figures(connection: Connection, generation: Generation) -> _Figures:
    following, followed = beside(generation)
    names = {
        "table": f'ingestion."{generation.name}"',
        "beside": f'ingestion."{following}"',
        "followed": f'ingestion."{followed}"',
    }
    with connection.cursor(row_factory=class_row(_Figures)) as cursor:
        found = cursor.execute(_FIGURES, names).fetchone()
    return found or _Figures(0, 0, vacuumed=False, left_over=False)


def _is_loading(connection: Connection, generation: Generation, rows: int) -> bool:
    """Whether so much waits that the index would be dropped again, and somebody is at it."""
    if _waiting(connection, generation, rows) <= LOADED * rows:
        return False
    row = connection.execute(_UNDER_WAY, (generation.generation_id,)).fetchone()
    return bool(row and row[0])


def _waiting(connection: Connection, generation: Generation, most: int) -> int:
    row = connection.execute(_WAITING, (generation.generation_id, most + 1)).fetchone()
    return row[0] if row else 0
