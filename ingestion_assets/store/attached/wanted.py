"""What an operator asks to be read in, a checked reading out."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.attached import relation as tables
from ingestion_assets.store.attached.keys import TYPES
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.reading import (
    Blocks,
    Columns,
    Expression,
    Key,
    Reading,
    Title,
)
from ingestion_assets.store.attached.relation import Column, Relation, require
from ingestion_assets.store.connection import Connection

_TARGET = """
SELECT a.attname
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = c.confkey[1]
WHERE c.contype = 'f' AND c.conrelid = %s AND c.confrelid = %s AND c.conkey = ARRAY[%s::smallint]
"""
_READS = """
SELECT a.attname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
WHERE k.conname = 'ingestion_reads' AND c.relname = %s AND c.relnamespace = pg_my_temp_schema()
ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read, as the operator named it; exactly one of the first three.

    Attributes:
        columns: of text or JSON.
        expression: in SQL, over the table's own columns.
        type: column of the block's type; `content` belongs to it.
        title_table: where `title` is, if not in the table itself.
    """

    columns: tuple[str, ...] = ()
    expression: str | None = None
    type: str | None = None
    content: str | None = None
    document: str | None = None
    position: str | None = None
    level: str | None = None
    title: str | None = None
    title_table: str | None = None


def reading(
    connection: Connection, table: Relation, found: Mapping[str, Column], wanted: Wanted
) -> Reading:
    """The reading that is wanted, with all its columns there.

    Raises:
        ConfigError: nothing is named, or too much, or what is not there.
    """
    given = [bool(wanted.columns), wanted.expression is not None, wanted.type is not None]
    if sum(given) != 1 or (wanted.type is None) != (wanted.content is None):
        raise ConfigError(
            "name what is embedded, in one way: --text-column (once or more), or --text with an"
            " SQL expression, or --type-column with --content-column"
        )
    if wanted.expression is not None:
        result: Reading = _expression(connection, table, wanted.expression)
    elif wanted.columns:
        for name in wanted.columns:
            require(table, found, name, "--text-column")
        result = Columns(wanted.columns)
    else:
        result = _blocks(connection, table, found, wanted)
    return result


def _expression(connection: Connection, table: Relation, expression: str) -> Expression:
    """Let Postgres check an expression as it checks a CHECK: one row's columns, nothing else."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {})").format(
                    identifier(table.name), table.identifier
                ),
                (),
            )
            check = sql.SQL(
                "ALTER TABLE {} ADD CONSTRAINT ingestion_reads CHECK ((({})::text) <> '')"
            ).format(identifier("pg_temp", table.name), sql.SQL(expression.replace("%", "%%")))
            connection.execute(check, ())
            rows = connection.execute(_READS, (table.name,)).fetchall()
    except (psycopg.ProgrammingError, psycopg.NotSupportedError) as exc:
        raise ConfigError(
            f"--text {expression!r} is no expression over the columns of {table.title}:"
            f" {exc.diag.message_primary}; write for example \"title || E'\\n\\n' || body\""
        ) from exc
    if not rows:
        raise ConfigError(
            f"--text {expression!r} reads no column of {table.title}; name at least one"
        )
    return Expression(expression, tuple(name for (name,) in rows))


def _blocks(
    connection: Connection, table: Relation, found: Mapping[str, Column], wanted: Wanted
) -> Blocks:
    options = {
        "--type-column": wanted.type,
        "--content-column": wanted.content,
        "--document-column": wanted.document,
        "--position-column": wanted.position,
        "--level-column": wanted.level,
        "--title-column": None if wanted.title_table else wanted.title,
    }
    for option, name in options.items():
        if name is not None:
            require(table, found, name, option)
    if wanted.position and not wanted.document:
        raise ConfigError("--position-column needs --document-column: it orders its blocks")
    document = _document(table, found, wanted.document) if wanted.document else None
    return Blocks(
        type=wanted.type or "",
        content=wanted.content or "",
        document=document,
        position=wanted.position,
        level=wanted.level,
        title=_title(connection, table, found, wanted),
    )


def _document(table: Relation, found: Mapping[str, Column], name: str) -> Key:
    column = found[name]
    if column.type not in TYPES:
        raise ConfigError(
            f"--document-column {name!r} of {table.title} has the type {column.type}; it must be"
            f" of {', '.join(sorted(TYPES))}"
        )
    return Key(name, column.type)


def _title(
    connection: Connection, table: Relation, found: Mapping[str, Column], wanted: Wanted
) -> Title | None:
    if wanted.title is None:
        return None
    if wanted.title_table is None:
        return Title(wanted.title)
    if wanted.document is None:
        raise ConfigError("--title-table needs --document-column: it says which title")
    other = tables.relation(connection, wanted.title_table)
    others = tables.columns(connection, other)
    require(other, others, wanted.title, "--title-column")
    number = found[wanted.document].number
    row = connection.execute(_TARGET, (table.oid, other.oid, number)).fetchone()
    if row is not None:
        return Title(wanted.title, other.schema, other.name, row[0])
    key = tables.keys(connection, other, others, ())
    if len(key) != 1:
        raise ConfigError(
            f"{other.title} has a primary key of {len(key)} columns; let {wanted.document!r} of"
            f" {table.title} reference one of its columns"
        )
    return Title(wanted.title, other.schema, other.name, key[0].column)
