"""Where vector and status go: the table's own columns, looked at, and added if they are missing."""

import re
from collections.abc import Mapping

import psycopg
from psycopg import sql

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.relation import Column, Relation
from ingestion_assets.store.connection import Connection

STATES = ("processing", "completed", "skipped", "error", "pending")

_HALFVEC_ABOVE = 2000  # HNSW indexes a vector up to 2,000 dimensions
_STATUS_LENGTH = max(map(len, STATES))
_SOURCES = """
SELECT p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = %s AND NOT t.tgisinternal AND t.tgenabled <> 'D'
"""
_NOTIFIES = re.compile(r"(?:pg_notify\s*\(\s*'|\bnotify\s+\"?)embedding_queue\b", re.I)
_PENDING = re.compile(r"'pending'", re.I)

ADOPTED_CHANNEL = "embedding_queue"


def check(table: Relation, found: Mapping[str, Column], vector: str, status: str, d: int) -> None:
    """Check the columns that are there already.

    Args:
        d: dimensions of the model's vectors.

    Raises:
        ConfigError: a column has another type or length, or cannot be NULL.
    """
    if column := found.get(vector):
        _check_vector(table, column, d)
    if column := found.get(status):
        _check_status(table, column)
    if not table.is_owned and not {vector, status} <= found.keys():
        missing = min({vector, status} - found.keys())
        raise ConfigError(
            f"{table.title} has no column {missing!r}, and only its owner {table.owner!r} can add"
            " it; attach as that role, or let it add the column"
        )


def add(
    connection: Connection,
    table: Relation,
    found: Mapping[str, Column],
    vector: str,
    status: str,
    d: int,
) -> list[str]:
    """Add the columns that are missing; returns their names. No row is rewritten by it."""
    kind = sql.SQL("{}({})").format(
        sql.SQL("halfvec" if d > _HALFVEC_ABOVE else "vector"), sql.Literal(d)
    )
    wanted = {vector: kind, status: sql.SQL("varchar(20) DEFAULT 'pending'")}
    added = [name for name in wanted if name not in found]
    for name in added:
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                table.identifier, identifier(name), wanted[name]
            ),
            (),
        )
    return added


def notifies(connection: Connection, table: Relation) -> bool:
    """Whether a trigger of the table sets rows pending and notifies `embedding_queue` already."""
    sources = "\n".join(source for (source,) in connection.execute(_SOURCES, (table.oid,)))
    return bool(_NOTIFIES.search(sources) and _PENDING.search(sources))


def probe(connection: Connection, table: Relation, status: str) -> None:
    """Try every status on one row, and undo it: constraints and triggers must let them pass.

    Raises:
        ConfigError: the table refuses a status, or a trigger of it writes another one.
    """
    for state in STATES:
        query = sql.SQL(
            "UPDATE {0} SET {1} = %s WHERE ctid = (SELECT ctid FROM {0} LIMIT 1) RETURNING {1}"
        ).format(table.identifier, identifier(status))
        try:
            with connection.transaction(force_rollback=True):
                row = connection.execute(query, (state,)).fetchone()
        except (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError) as exc:
            raise ConfigError(
                f"{table.title} refuses the status {state!r}: {exc.diag.message_primary}; allow"
                f" {', '.join(sorted(STATES))} in {status!r}, and updates of it"
            ) from exc
        if row is not None and row[0] != state:
            raise ConfigError(
                f"a trigger of {table.title} turns the status {state!r} into {row[0]!r} whenever a"
                " row is updated; let it fire for the columns of the text only"
            )


def _check_vector(table: Relation, column: Column, d: int) -> None:
    if column.type not in ("vector", "halfvec"):
        raise ConfigError(
            f"column {column.name!r} of {table.title} is of type {column.type}; name another"
            f" with --vector-column, or make it vector({d})"
        )
    if column.modifier not in (-1, d):
        raise ConfigError(
            f"column {column.name!r} of {table.title} is {column.type}({column.modifier}), but the"
            f" model gives {d} dimensions; choose the model that fits with INGESTION_MODEL, or"
            " name another column with --vector-column"
        )
    if column.is_required or column.is_generated:
        raise ConfigError(
            f"column {column.name!r} of {table.title} is NOT NULL or generated; a row has no"
            " vector at first: drop that, or name another with --vector-column"
        )


def _check_status(table: Relation, column: Column) -> None:
    length = column.modifier - 4 if column.modifier >= 0 else None
    is_text = column.type in ("text", "character varying")
    if not is_text or (length is not None and length < _STATUS_LENGTH) or column.is_generated:
        shown = column.type if length is None else f"{column.type}({length})"
        raise ConfigError(
            f"column {column.name!r} of {table.title} is of type {shown}; make it varchar(20), or"
            " name another with --status-column"
        )
