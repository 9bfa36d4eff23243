"""A database of every earlier version, with rows in it, becomes one of this version."""

import pytest
from psycopg import sql

from ingestion_assets.doctor import examination
from ingestion_assets.store import audit, claims, schema
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.damage.finding import Scope
from ingestion_assets.store.generations import active
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.store import rows

NAMES = schema._migrations()
DOCUMENT = rows.document("a.md", "one two three")
EMBEDDED, FAILED, WAITING = rows.split(DOCUMENT, ["one", "two", "three"])
VECTOR = "[1,0,0,0]"


@pytest.mark.parametrize("version", range(1, len(NAMES)))
def test_every_earlier_version_migrates_to_one_that_the_doctor_calls_sound(
    version: int, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(postgres) as url, monkeypatch.context() as earlier:
        earlier.setattr(schema, "_migrations", lambda: NAMES[:version])
        schema.migrate(url)
        with connect(url) as connection:
            _fill(connection, version)
            earlier.undo()
            assert schema.migrate(url) == NAMES[version:]
            with audit.snapshot(connection):
                assert examination.examine(connection, Scope()) == []
            assert _states(connection) == {
                EMBEDDED.chunk_id: "completed",
                FAILED.chunk_id: "error" if version > 1 else "pending",
                WAITING.chunk_id: "pending",
            }
            generation = active(connection)
            assert generation is not None
            claimed = claims.claim(connection, generation, "a worker", limit=9)
            assert {text.text for text in claimed} == {"two", "three"}


def _fill(connection: Connection, version: int) -> None:
    """One document of three chunks: the first has its vector, the second has failed once."""
    connection.execute("INSERT INTO ingestion.sources VALUES ('notes', 'files', '{}', 1)")
    connection.execute(
        "INSERT INTO ingestion.generations (model, digest, dimensions, storage, document_prefix,"
        " query_prefix, options, fingerprint, status)"
        " VALUES ('m', '', 4, 'vector', '', '', '{}', 'f', 'active')"
    )
    connection.execute(
        "CREATE TABLE ingestion.embeddings_1 (chunk_id uuid PRIMARY KEY,"
        " content_hash bytea NOT NULL, embedding vector(4) NOT NULL)"
    )
    connection.execute("CREATE INDEX ON ingestion.embeddings_1 (content_hash)")
    _insert_document(connection)
    connection.execute(
        "INSERT INTO ingestion.embeddings_1 VALUES (%s, %s, %s)",
        (EMBEDDED.chunk_id, EMBEDDED.content_hash, VECTOR),
    )
    if version > 1:
        connection.execute("SELECT ingestion.show_generation(1)")
        _fail(connection)


def _insert_document(connection: Connection) -> None:
    _insert(
        connection,
        "documents",
        document_id=DOCUMENT.document_id,
        source=DOCUMENT.source,
        partition_key=DOCUMENT.partition_key,
        uri=DOCUMENT.uri,
        media_type=DOCUMENT.media_type,
        title=DOCUMENT.title,
        text=DOCUMENT.text,
        content_hash=DOCUMENT.content_hash,
        metadata="{}",
        bytes=DOCUMENT.bytes,
        modified_at=DOCUMENT.modified_at,
        ingested_at=DOCUMENT.ingested_at,
    )
    for chunk in (EMBEDDED, FAILED, WAITING):
        _insert(
            connection,
            "chunks",
            chunk_id=chunk.chunk_id,
            document_id=chunk.document_id,
            partition_key=DOCUMENT.partition_key,
            ordinal=chunk.ordinal,
            heading=chunk.heading,
            text=chunk.text,
            content_hash=chunk.content_hash,
            tokens=chunk.tokens,
            start_offset=chunk.start,
            end_offset=chunk.end,
            chunker=rows.CHUNKER,
        )


def _fail(connection: Connection) -> None:
    connection.execute(
        "DELETE FROM ingestion.ledger WHERE chunk_id = ANY(%s)",
        ([EMBEDDED.chunk_id, FAILED.chunk_id],),
    )
    connection.execute(
        "INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state, error_class,"
        " error, failed_at) VALUES (1, %s, %s, 'error', 'E', 'why', now())",
        (FAILED.chunk_id, FAILED.content_hash),
    )


def _insert(connection: Connection, table: str, **values: object) -> None:
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier("ingestion", table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    connection.execute(statement, values)


def _states(connection: Connection) -> dict[object, str]:
    return dict(connection.execute("SELECT chunk_id, state FROM ingestion.chunk_status").fetchall())
