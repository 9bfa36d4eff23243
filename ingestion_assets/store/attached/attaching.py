"""An operator's request in, an attached table out, or nothing changed at all."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from ingestion_assets.errors import ConfigError, StoreUnavailableError
from ingestion_assets.store import sources
from ingestion_assets.store.attached import destination, triggers
from ingestion_assets.store.attached import relation as tables
from ingestion_assets.store.attached.attachment import Attachment, attachment
from ingestion_assets.store.attached.reading import Key, Reading, as_config
from ingestion_assets.store.attached.relation import Column, Relation
from ingestion_assets.store.attached.wanted import Wanted, reading
from ingestion_assets.store.claims import CHANNEL
from ingestion_assets.store.connection import Connection

LOCK_TIMEOUT = "5s"  # a statement that waits for a table makes all wait who come after it

_INSERT = """
INSERT INTO ingestion.attachments (name, relation, key_columns, config, vector_column,
    status_column, channel, trigger_kind, undo, model, digest, dimensions)
VALUES (%s, %s::oid::regclass, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_RIGHTS = """
SELECT has_table_privilege(%(oid)s::oid, 'SELECT'), has_table_privilege(%(oid)s::oid, 'UPDATE'),
       has_table_privilege(%(oid)s::oid, 'TRIGGER')
"""


@dataclass(frozen=True, slots=True)
class Request:
    """What an operator wants attached.

    Attributes:
        table: as in SQL.
        name: names the attachment; none means after the table.
        keys: none means the primary key.
        prefix: the instruction before every text; none means the model's own.
        vector_column: none means our own tables.
        status_column: where `vector_column` is, too.
        digest: of the model that makes the vectors.
        max_tokens: tokens of a chunk at most, in our own tables.
        overlap: tokens that the pieces of a long text share there.
    """

    table: str
    wanted: Wanted
    model: str
    digest: str
    dimensions: int
    name: str | None = None
    keys: tuple[str, ...] = ()
    prefix: str | None = None
    vector_column: str | None = "embedding"
    status_column: str | None = "embedding_status"
    max_tokens: int = 200
    overlap: int = 30


def attach(connection: Connection, request: Request) -> Attachment:
    """Attach a table, in one short transaction; the rows in it are enqueued by `scan`.

    A trigger that sets rows pending and notifies `embedding_queue` already is adopted.

    Raises:
        ConfigError: the table, a column, the model or a right does not fit; nothing was changed.
        StoreUnavailableError: the table was in use for too long; retryable.
    """
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
            return _attach(connection, request)
    except psycopg.errors.LockNotAvailable as exc:
        raise StoreUnavailableError(
            f"{request.table} is in use by a long transaction; attach it when that has ended"
        ) from exc
    except psycopg.errors.InsufficientPrivilege as exc:
        raise ConfigError(
            f"{request.table} cannot be attached: {exc.diag.message_primary}; do it as the owner"
            " of the table and of the schema ingestion"
        ) from exc


def _attach(connection: Connection, request: Request) -> Attachment:
    table = tables.relation(connection, request.table)
    found = tables.columns(connection, table)
    keys = tables.keys(connection, table, found, request.keys)
    read = reading(connection, table, found, request.wanted)
    name = _name(connection, request, table)
    adopted = request.vector_column is not None and _adopts(connection, table, found, request)
    _check_rights(connection, table, request, adopted=adopted)
    undo: dict[str, Any] = {"columns": []}
    if request.vector_column and request.status_column:
        own = (request.vector_column, request.status_column, request.dimensions)
        destination.check(table, found, *own)
        undo["columns"] = destination.add(connection, table, found, *own)
    else:
        sources.register(connection, name, "table", 1, _source_config(request, table))
    _insert(connection, request, table, name, keys, read, adopted=adopted, undo=undo)
    made = attachment(connection, name)
    if made is None:
        raise AssertionError("the attachment that was just inserted is not there")
    if not adopted:
        _check_generated(table, found, made)
        triggers.install(connection, made)
    if request.status_column and request.vector_column:
        destination.probe(connection, table, request.status_column)
    return made


def _insert(
    connection: Connection,
    request: Request,
    table: Relation,
    name: str,
    keys: tuple[Key, ...],
    read: Reading,
    *,
    adopted: bool,
    undo: Mapping[str, Any],
) -> None:
    config = {
        "reading": as_config(read),
        "prefix": request.prefix,
        "max_tokens": request.max_tokens,
        "overlap": request.overlap,
    }
    try:
        connection.execute(
            _INSERT,
            (
                name,
                table.oid,
                Jsonb([asdict(key) for key in keys]),
                Jsonb(config),
                request.vector_column,
                request.status_column if request.vector_column else None,
                destination.ADOPTED_CHANNEL if adopted else CHANNEL,
                "adopted" if adopted else "installed",
                Jsonb(dict(undo)),
                request.model,
                request.digest,
                request.dimensions,
            ),
        )
    except psycopg.errors.UniqueViolation as exc:
        raise ConfigError(
            f"{table.title} is attached already, to the same destination; detach it first, or"
            " name another --vector-column"
        ) from exc


def _name(connection: Connection, request: Request, table: Relation) -> str:
    """The name that was asked for, or one that is made of the table's."""
    name = sources.name_for(request.name, table.name, "--name")
    if attachment(connection, name) is not None:
        raise ConfigError(
            f"an attachment is named {name!r} already; choose another --name, or detach that one"
        )
    is_source = connection.execute("SELECT FROM ingestion.sources WHERE name = %s", (name,))
    if is_source.fetchone() is not None:
        raise ConfigError(f"a source is named {name!r} already; choose another --name")
    return name


def _adopts(
    connection: Connection, table: Relation, found: Mapping[str, Column], request: Request
) -> bool:
    return request.status_column in found and destination.notifies(connection, table)


def _check_rights(
    connection: Connection, table: Relation, request: Request, *, adopted: bool
) -> None:
    row = connection.execute(_RIGHTS, {"oid": table.oid}).fetchone() or (False,) * 3
    needed = {
        "SELECT": True,
        "UPDATE": request.vector_column is not None,
        "TRIGGER": not adopted,
    }
    missing = [right for right, has in zip(needed, row, strict=True) if needed[right] and not has]
    if missing:
        user = connection.info.user
        raise ConfigError(
            f"{user!r} may not {', '.join(missing)} on {table.title}; let {table.owner!r}"
            f" GRANT {', '.join(missing)} ON {table.title} TO {user}"
        )


def _check_generated(table: Relation, found: Mapping[str, Column], made: Attachment) -> None:
    """A trigger that fires before a row is written does not see what is generated of it."""
    generated = [name for name in triggers.watched(made) if found[name].is_generated]
    if generated and made.status_column:
        raise ConfigError(
            f"column {generated[0]!r} of {table.title} is generated; give the expression it is"
            " generated by with --text, or use --store"
        )


def _source_config(request: Request, table: Relation) -> dict[str, Any]:
    return {"table": table.title, "prefix": request.prefix}
