"""A table of somebody else's that is kept embedded: what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.reading import Key, Reading, from_config
from ingestion_assets.store.connection import Connection

_SELECT = """
SELECT a.attachment_id, a.name, n.nspname AS schema, c.relname AS table, a.key_columns, a.config,
       a.vector_column, a.status_column, a.channel, a.trigger_kind, a.undo, a.model, a.digest,
       a.dimensions, a.scanned_at IS NOT NULL AS scanned
FROM ingestion.attachments a
LEFT JOIN pg_class c ON c.oid = a.relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY a.name
"""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One row of the attachments table.

    Attributes:
        name: names it for us; also the source's name, where its rows become documents of ours.
        schema: None if the table was dropped.
        prefix: the instruction before every text; none means the generation's, in our own tables.
        vector_column: None if the rows become documents and chunks of ours.
        channel: what its trigger notifies.
        adopted: the trigger was there before us.
        undo: names of what was added to the table: `columns`, `triggers`.
        digest: names the model that the vectors are made with.
        max_tokens: tokens of a chunk at most, where the rows become documents of ours.
        overlap: tokens that the pieces of a long text share.
        scanned: whether all rows that were there at first are enqueued.
    """

    attachment_id: int
    name: str
    schema: str | None
    table: str | None
    keys: tuple[Key, ...]
    reading: Reading
    prefix: str | None
    vector_column: str | None
    status_column: str | None
    channel: str
    adopted: bool
    undo: Mapping[str, Any]
    model: str
    digest: str
    dimensions: int
    max_tokens: int
    overlap: int
    scanned: bool

    @property
    def relation(self) -> sql.Identifier:
        """The table, for composing SQL."""
        return identifier(self.schema or "", self.table or "")

    @property
    def title(self) -> str:
        """The table, for people."""
        return f"{self.schema}.{self.table}" if self.table else "a table that is gone"

    @property
    def vector(self) -> sql.Identifier:
        """The column of the vector, for composing SQL."""
        return identifier(self.vector_column or "")

    @property
    def status(self) -> sql.Identifier:
        """The column of the status, for composing SQL."""
        return identifier(self.status_column or "")

    def own_function(self, suffix: str) -> sql.Identifier:
        """The function of a trigger of ours, or one that it calls."""
        return identifier("ingestion", f"attached_{self.attachment_id}{suffix}")

    def trigger(self, event: str) -> sql.Identifier:
        """A trigger of ours; the name sorts behind all others, and is nobody else's."""
        return identifier(f"zz_ingestion_{self.attachment_id}_{event}")


def attachments(connection: Connection) -> list[Attachment]:
    """Every table that is attached, by name; also those that were dropped since."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_attachment(row) for row in cursor.execute(_SELECT)]


def attachment(connection: Connection, name: str) -> Attachment | None:
    """The attachment of this name."""
    return next((found for found in attachments(connection) if found.name == name), None)


def _attachment(row: dict[str, Any]) -> Attachment:
    config = row.pop("config")
    return Attachment(
        keys=tuple(Key(**key) for key in row.pop("key_columns")),
        reading=from_config(config["reading"]),
        prefix=config["prefix"],
        adopted=row.pop("trigger_kind") == "adopted",
        max_tokens=config["max_tokens"],
        overlap=config["overlap"],
        **row,
    )
