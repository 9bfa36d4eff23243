"""Functions, triggers and views of the schema against the migrations that made them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from psycopg import sql

from ingestion_assets.store import generations, schema
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import Finding, Kind, finding
from ingestion_assets.store.generations import Generation

_FUNCTION = re.compile(
    r"^CREATE (?:OR REPLACE )?FUNCTION ingestion\.(?P<name>\w+)\([^;]*?"
    r"(?:\$\$(.*?)\$\$|^RETURN [^;]*);",
    re.MULTILINE | re.DOTALL,
)
_TRIGGER = re.compile(
    r"^CREATE TRIGGER (?P<name>\w+) [^;]*? ON ingestion\.(\w+)[^;]*;", re.MULTILINE
)
_RIGHTS = re.compile(r"^REVOKE [^;]*;", re.MULTILINE)
_BODIES = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'ingestion'::regnamespace"
_AT_WORK = """
SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'ingestion'::regnamespace AND t.tgenabled IN ('O', 'A')
"""
_VIEWS = """
SELECT viewname FROM pg_views
WHERE schemaname = 'ingestion' AND viewname IN ('embeddings', 'chunk_status')
  AND position(%s IN definition) > 0
"""

MIGRATIONS = Kind(
    "migrations_unfinished",
    "Migrations that the database does not have yet: nothing else can be looked at.",
    "applies them, as `ingest migrate` does.",
)
TABLES = Kind(
    "tables_missing",
    "The table of a generation is gone, and its vectors with it.",
    "makes it anew, empty, and puts all chunks into the ledger.",
)
FUNCTIONS = Kind(
    "functions_missing",
    "Functions that are gone, or not as this version makes them.",
    "makes them anew.",
)
TRIGGERS = Kind(
    "triggers_missing",
    "Triggers that are gone or switched off: chunks that change are not embedded by themselves.",
    "makes them anew; what was missed is found as vectors_missing and vectors_stale.",
)
VIEWS = Kind(
    "views_missing",
    "Views that are gone, or show another generation than the active one.",
    "makes them anew.",
)


@dataclass(frozen=True, slots=True)
class _Made:
    """The statement that makes something, and what it is known by."""

    statement: str
    known: str | None


class SchemaCheck:
    """Compares what is there with what the migrations made."""

    def find(self, connection: Connection) -> list[Finding]:
        """What is gone, or is not as it was made."""
        return [
            *finding(TABLES, [generation.name for generation in lost(connection)]),
            *finding(FUNCTIONS, _functions_lost(connection)),
            *finding(TRIGGERS, _triggers_lost(connection)),
            *finding(VIEWS, _views_lost(connection)),
        ]

    def mend(self, connection: Connection) -> None:
        """Make it anew, all in one transaction: what depends on it is to find it whole."""
        with connection.transaction():
            for name in _functions_lost(connection):
                connection.execute(_functions()[name].statement.encode())
            for right in _RIGHTS.findall(schema.migrations()):
                connection.execute(right.encode())
            for name in _triggers_lost(connection):
                _make_trigger(connection, name)
            for generation in lost(connection):
                generations.create_table(connection, generation)
                _enqueue_all(connection, generation)
            _show_active(connection)


def lost(connection: Connection) -> list[Generation]:
    """Generations in use that have no table."""
    return [g for g in generations.in_use(connection) if not _has_table(connection, g)]


def _has_table(connection: Connection, generation: Generation) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (f"ingestion.{generation.name}",)).fetchone()
    return bool(row and row[0])


def standing(pattern: re.Pattern[str], what: str) -> list[re.Match[str]]:
    """The statements of the migrations that make something, and that no later one takes back.

    Args:
        pattern: of the statements, with a group `name`.
        what: is made: FUNCTION, TRIGGER or INDEX.
    """
    text = schema.migrations()
    drop = rf"^DROP {what} (?:IF EXISTS )?(?:ingestion\.)?(\w+)"
    dropped = {found[1]: found.start() for found in re.finditer(drop, text, re.MULTILINE)}
    return [m for m in pattern.finditer(text) if dropped.get(m["name"], -1) < m.start()]


@cache
def _functions() -> Mapping[str, _Made]:
    """The latest definition of each function, and its body, by name."""
    return {
        m["name"]: _Made(re.sub(r"^CREATE (OR REPLACE )?", "CREATE OR REPLACE ", m[0]), m[2])
        for m in standing(_FUNCTION, "FUNCTION")
    }


@cache
def _triggers() -> Mapping[str, _Made]:
    """The latest definition of each trigger, and the table it is on, by name."""
    return {m["name"]: _Made(m[0], m[2]) for m in standing(_TRIGGER, "TRIGGER")}


def _functions_lost(connection: Connection) -> list[str]:
    bodies: dict[str, str] = dict(connection.execute(_BODIES).fetchall())
    return [
        name
        for name, made in _functions().items()
        if name not in bodies or made.known not in (None, bodies[name])
    ]


def _triggers_lost(connection: Connection) -> list[str]:
    at_work = {name for (name,) in connection.execute(_AT_WORK)}
    return [name for name in _triggers() if name not in at_work]


def _make_trigger(connection: Connection, name: str) -> None:
    made = _triggers()[name]
    drop = sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
        sql.Identifier(name), sql.Identifier("ingestion", made.known or "")
    )
    connection.execute(drop)
    connection.execute(made.statement.encode())


def _views_lost(connection: Connection) -> list[str]:
    active = generations.active(connection)
    if active is None:
        return []
    shown = {"embeddings": active.name, "chunk_status": f"{active.generation_id} AS generation_id"}
    return [
        view
        for view, part in shown.items()
        if view not in {name for (name,) in connection.execute(_VIEWS, (part,))}
    ]


def _show_active(connection: Connection) -> None:
    active = generations.active(connection)
    if active is not None and _views_lost(connection):
        connection.execute("SELECT ingestion.show_generation(%s)", (active.generation_id,))


def _enqueue_all(connection: Connection, generation: Generation) -> None:
    connection.execute("SELECT ingestion.enqueue_missing(%s, NULL)", (generation.generation_id,))
