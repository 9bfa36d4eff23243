"""Tables of an application, attached, and a worker that embeds at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from psycopg import sql

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.store.attached import AttachedQueue, Attachment, Request, attach, scan
from ingestion_assets.store.attached.wanted import Wanted
from ingestion_assets.store.connection import Connection

D = 4
NOTES = """
CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL, body text, pinned boolean NOT NULL DEFAULT false
)
"""
BLOCKS = """
CREATE TABLE documents (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title text);
CREATE TABLE blocks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
    position int NOT NULL, block_type text NOT NULL, content jsonb NOT NULL
);
CREATE INDEX ON blocks (document_id);
"""
OWN_TRIGGER = """
ALTER TABLE notes ADD embedding vector(4), ADD embedding_status varchar(20) DEFAULT 'pending';
CREATE FUNCTION queue_embedding() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.embedding_status := 'pending';
    PERFORM pg_notify('embedding_queue', NEW.id::text);
    RETURN NEW;
END $$;
CREATE TRIGGER queue_embedding BEFORE INSERT OR UPDATE OF title, body ON notes
    FOR EACH ROW EXECUTE FUNCTION queue_embedding();
"""
REQUEST = Request("notes", Wanted(columns=("title", "body")), "m", "sha", D, prefix="note: ")
OF_BLOCKS = replace(
    REQUEST,
    table="blocks",
    wanted=Wanted(
        type="block_type",
        content="content",
        document="document_id",
        position="position",
        title="title",
        title_table="documents",
    ),
)


def attached(connection: Connection, request: Request = REQUEST, **changes: Any) -> Attachment:
    """Attach a table and enqueue what is in it."""
    made = attach(connection, replace(request, **changes))
    while scan(connection, made) is not None:
        pass
    return made


def queue(database: str, made: Attachment, owner: str = "me", lease: float = 60.0) -> AttachedQueue:
    return AttachedQueue(database, made, owner, lease=lease)


def vectors(texts: Sequence[Text]) -> Vectors:
    """The vectors that a make-believe model gives texts: each begins with the text's length."""
    matrix = [[len(text.text), sum(map(ord, text.text)) % 1009, 1, 0] for text in texts]
    return Vectors(
        [text.chunk_id for text in texts],
        [text.content_hash for text in texts],
        np.array(matrix, np.float32).reshape(-1, D),
    )


def work(worker: AttachedQueue, limit: int = 10) -> list[str]:
    """Embed all that there is; the texts that were embedded."""
    sent: list[str] = []
    while texts := worker.claim(limit):
        assert worker.complete(vectors(texts)) == len(texts)
        sent += [text.text for text in texts]
    return sent


def statuses(connection: Connection, table: str = "notes") -> dict[str, list[Any]]:
    """Rows by status: in the table, and as they are known; they must be the same."""
    own = _grouped(connection, sql.SQL("SELECT embedding_status, id::text FROM {}"), table)
    known = _grouped(
        connection, sql.SQL("SELECT state, row_key FROM ingestion.attached_rows -- {}"), table
    )
    assert own == known
    return own


def lengths(connection: Connection, table: str = "notes") -> list[int | None]:
    """The lengths of the texts that the stored vectors were made of, in order of the keys."""
    query = sql.SQL("SELECT (embedding::real[])[1]::int FROM {} ORDER BY id")
    return [n for (n,) in connection.execute(query.format(sql.Identifier(table)))]


def catalog(connection: Connection) -> Mapping[str, list[Any]]:
    """All that Postgres knows of the application's tables, and what is in our own."""
    return {name: connection.execute(query).fetchall() for name, query in _CATALOG.items()}


def _grouped(connection: Connection, query: sql.SQL, table: str) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for state, key in connection.execute(query.format(sql.Identifier(table))):
        groups.setdefault(state, []).append(key)
    return {state: sorted(keys) for state, keys in groups.items()}


_CATALOG = {
    "columns": "SELECT c.relname, a.attname, format_type(atttypid, atttypmod), attnotnull,"
    " pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
    " LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = attnum"
    " WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped"
    " ORDER BY 1, attnum",
    "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger"
    " WHERE tgrelid::regclass::text NOT LIKE 'ingestion.%' ORDER BY 1, 2",
    "functions": "SELECT pronamespace::regnamespace::text, proname, prosrc FROM pg_proc"
    " WHERE pronamespace IN ('public'::regnamespace, 'ingestion'::regnamespace) ORDER BY 1, 2, 3",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    " ORDER BY 1, 2",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
    " FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    "rights": "SELECT relname, relacl::text FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "sources": "SELECT name FROM ingestion.sources",
    "documents": "SELECT document_id FROM ingestion.documents",
    "attachments": "SELECT name FROM ingestion.attachments",
    "rows": "SELECT row_key FROM ingestion.attached_rows",
}
