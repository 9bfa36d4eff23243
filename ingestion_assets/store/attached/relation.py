"""A table's name as an operator writes it in, what Postgres knows of the table out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.attached.keys import TYPES
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.reading import Key
from ingestion_assets.store.connection import Connection

_KINDS = {
    "v": "a view; attach the table below it",
    "m": "a materialized view; attach the table below it",
    "f": "a foreign table; attach it in its own database",
}
_RELATION = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       c.relpersistence = 't' AS is_temporary, c.relispartition AS is_partition,
       EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) AS inherits,
       pg_has_role(c.relowner, 'USAGE') AS is_owned,
       pg_get_userbyid(c.relowner) AS owner
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s::oid
"""
_COLUMNS = """
SELECT attname AS name, format_type(atttypid, NULL) AS type, atttypmod AS modifier,
       attnotnull AS is_required, attgenerated <> '' AS is_generated, attnum AS number
FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_UNIQUE = """
SELECT i.indisprimary, ARRAY(
    SELECT a.attname FROM unnest(i.indkey::int[]) WITH ORDINALITY AS k (attnum, position)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.position <= i.indnkeyatts ORDER BY k.position)::text[]
FROM pg_index i
WHERE i.indrelid = %s AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indisprimary DESC, i.indexrelid
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `modifier` is what Postgres keeps of its length, -1 if it has none."""

    name: str
    type: str
    modifier: int
    is_required: bool
    is_generated: bool
    number: int


@dataclass(frozen=True, slots=True)
class Relation:
    """A plain table."""

    oid: int
    schema: str
    name: str
    kind: str
    is_temporary: bool
    is_partition: bool
    inherits: bool
    is_owned: bool
    owner: str

    @property
    def identifier(self) -> sql.Identifier:
        """The table, for composing SQL."""
        return identifier(self.schema, self.name)

    @property
    def title(self) -> str:
        """The table, for people."""
        return f"{self.schema}.{self.name}"


def relation(connection: Connection, name: str) -> Relation:
    """The plain table of this name.

    Args:
        name: as in SQL: `notes`, `public.notes`, or `"My Schema"."My Table"`.

    Raises:
        ConfigError: there is none, or it is of a kind that cannot be attached.
    """
    found = look_up(connection, name)
    if found is None:
        raise ConfigError(
            f"there is no table {name!r}; write schema.table, and names with capitals, blanks or"
            """ reserved words in double quotes, as in SQL: '"My Schema"."My Table"'"""
        )
    if found.kind != "r" or found.is_partition or found.inherits or found.is_temporary:
        raise ConfigError(f"{found.title} is {_kind(found)}")
    if found.schema in ("pg_catalog", "information_schema", "ingestion"):
        raise ConfigError(f"{found.title} belongs to {found.schema!r}; attach a table of your own")
    return found


def columns(connection: Connection, table: Relation) -> Mapping[str, Column]:
    """The columns of a table, by name, in order."""
    with connection.cursor(row_factory=class_row(Column)) as cursor:
        return {column.name: column for column in cursor.execute(_COLUMNS, (table.oid,))}


def keys(
    connection: Connection, table: Relation, found: Mapping[str, Column], given: Sequence[str]
) -> tuple[Key, ...]:
    """The columns of the key: those given, or the primary key's.

    Raises:
        ConfigError: no unique index has just these columns, one can be NULL, or has a type whose
            text is not the same in every session.
    """
    unique = connection.execute(_UNIQUE, (table.oid,)).fetchall()
    named = _chosen(table, unique, given)
    for name in named:
        column = require(table, found, name, "--key")
        if column.type not in TYPES:
            raise ConfigError(
                f"key column {name!r} of {table.title} has the type {column.type}; a key must be"
                f" of {', '.join(sorted(TYPES))}"
            )
        if not column.is_required:
            raise ConfigError(
                f"key column {name!r} of {table.title} can be NULL; make it NOT NULL, or choose"
                " another unique key with --key"
            )
    return tuple(Key(name, found[name].type) for name in named)


def require(table: Relation, found: Mapping[str, Column], name: str, option: str) -> Column:
    """The column of this name.

    Raises:
        ConfigError: there is none; names those that there are.
    """
    if name not in found:
        raise ConfigError(
            f"{option} {name!r}: {table.title} has no such column; it has {', '.join(found)}"
        )
    return found[name]


def look_up(connection: Connection, name: str) -> Relation | None:
    """Whatever has this name, of any kind; none if there is nothing.

    Raises:
        ConfigError: it is no name.
    """
    try:
        row = connection.execute("SELECT to_regclass(%s)::oid", (name,)).fetchone()
    except psycopg.Error as exc:
        raise ConfigError(f"{name!r} is no name of a table ({exc}); write schema.table") from exc
    with connection.cursor(row_factory=class_row(Relation)) as cursor:
        return cursor.execute(_RELATION, (row[0] if row else None,)).fetchone()


def _kind(found: Relation) -> str:
    if found.is_temporary:
        return "a temporary table, which no worker can see; attach a lasting one"
    if found.kind == "p" or found.is_partition:
        return (
            "partitioned, or a partition: a statement's trigger sees only what is written under"
            " the table's own name; attach a plain table that is kept beside it"
        )
    if found.inherits:
        return "part of an inheritance tree; attach a plain table"
    return _KINDS.get(found.kind, "no table; attach a plain table")


def _chosen(
    table: Relation, unique: Sequence[tuple[bool, list[str]]], given: Sequence[str]
) -> Sequence[str]:
    if given:
        fitting = [names for _, names in unique if set(names) == set(given)]
        if fitting:
            return fitting[0]
        raise ConfigError(
            f"--key {', '.join(given)}: no unique index of {table.title} has exactly these"
            " columns; create one, or name the primary key"
        )
    primary = [names for is_primary, names in unique if is_primary]
    if not primary:
        raise ConfigError(
            f"{table.title} has no primary key; give it one, or name the columns of a unique"
            " index with --key"
        )
    return primary[0]
