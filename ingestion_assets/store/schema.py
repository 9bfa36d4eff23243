"""Numbered SQL files in, a database at their version out."""

from functools import cache
from importlib.resources import files

import psycopg

from ingestion_assets.errors import SchemaVersionError, StoreError
from ingestion_assets.store.connection import Connection, connect

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('ingestion:migrate', 0))"
_VERSIONS = """
CREATE SCHEMA IF NOT EXISTS ingestion;
CREATE TABLE IF NOT EXISTS ingestion.schema_versions (
    version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""


def migrate(url: str) -> list[str]:
    """Bring the database to this code's version; processes that start together are safe.

    Returns:
        Names of the migrations that were applied now, in order.

    Raises:
        SchemaVersionError: the database is newer than this code.
        StoreError: Postgres refuses, for example because pgvector is not installed.
    """
    with connect(url) as connection:
        if _version(connection) == len(_migrations()):
            return []
        try:
            with connection.transaction():
                connection.execute(_LOCK)
                connection.execute(_VERSIONS)
                return [_apply(connection, name) for name in _migrations()[_version(connection) :]]
        except psycopg.errors.InsufficientPrivilege as exc:
            raise StoreError(
                f"the schema cannot be made: {exc}; let a superuser GRANT CREATE ON DATABASE"
                " to this user, and run CREATE EXTENSION vector in it once"
            ) from exc


def unfinished(connection: Connection) -> list[str]:
    """Names of the migrations that the database does not have yet.

    Raises:
        SchemaVersionError: the database is newer than this code.
    """
    return _migrations()[_version(connection) :]


def migrations() -> str:
    """The text of all migrations, in order."""
    folder = files("ingestion_assets.store") / "sql"
    return "\n".join((folder / name).read_text() for name in _migrations())


@cache
def _migrations() -> list[str]:
    folder = files("ingestion_assets.store") / "sql"
    return sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))


def _version(connection: Connection) -> int:
    row = connection.execute("SELECT to_regclass('ingestion.schema_versions')").fetchone()
    if row is None or row[0] is None:
        return 0
    row = connection.execute("SELECT max(version) FROM ingestion.schema_versions").fetchone()
    version = (row and row[0]) or 0
    if version > len(_migrations()):
        raise SchemaVersionError(
            f"the database is at schema version {version}, this code knows"
            f" {len(_migrations())}; update ingestion-assets"
        )
    return int(version)


def _apply(connection: Connection, name: str) -> str:
    sql = (files("ingestion_assets.store") / "sql" / name).read_bytes()
    try:
        connection.execute(sql)
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as exc:
        raise StoreError(
            f"{name}: {exc}; install pgvector 0.8 or newer on the database server"
        ) from exc
    connection.execute(
        "INSERT INTO ingestion.schema_versions (version, name) VALUES (%s, %s)",
        (int(name[:3]), name),
    )
    return name
