"""Rows without a column for a vector become documents and chunks of ours."""

from typing import Any

import pytest

from ingestion_assets.store import claims
from ingestion_assets.store.attached import AttachedQueue, Attachment, detach
from ingestion_assets.store.attached.filing import FilingQueue
from ingestion_assets.store.attached.serve import queue
from ingestion_assets.store.attached.wanted import Wanted
from ingestion_assets.store.connection import Connection
from ingestion_assets_tests.store import rows
from ingestion_assets_tests.store.attached.given import (
    BLOCKS,
    NOTES,
    OF_BLOCKS,
    attached,
    catalog,
)


@pytest.fixture
def notes(connection):
    """Two notes, and a generation that search reads."""
    connection.execute(NOTES)
    connection.execute("INSERT INTO notes (title, body) VALUES ('one', 'a'), ('two', NULL)")
    rows.generation(connection)
    return connection


def stored(connection: Connection, **changes: Any) -> Attachment:
    return attached(connection, vector_column=None, status_column=None, **changes)


def file(database: str, made: Attachment) -> None:
    worker = FilingQueue(database, made)
    assert worker.claim(10) == []
    assert worker.depth().pending == 0


def texts(connection: Connection) -> list[tuple[str, str]]:
    query = (
        "SELECT uri, c.text FROM ingestion.chunks c JOIN ingestion.documents USING (document_id)"
    )
    return connection.execute(query + " WHERE NOT superseded ORDER BY uri, ordinal").fetchall()


def embed(connection: Connection) -> list[str]:
    """Embed what the ledger has of them; what would be sent."""
    generation = rows.generation(connection)
    claimed = claims.claim(connection, generation, "me", limit=100)
    claims.complete(connection, generation, rows.vectors(claimed))
    return sorted(text.text for text in claimed)


def test_rows_become_chunks_that_wait_in_the_ledger(notes, database):
    file(database, stored(notes))
    assert texts(notes) == [("1", "one\n\na"), ("2", "two")]
    assert embed(notes) == ["note: one\n\na", "note: two"]


def test_only_a_changed_text_is_filed_again(notes, database):
    made = stored(notes)
    file(database, made)
    embed(notes)
    notes.execute("UPDATE notes SET pinned = true, body = CASE id WHEN 2 THEN 'b' ELSE body END")
    file(database, made)
    assert embed(notes) == ["note: two\n\nb"]
    assert texts(notes) == [("1", "one\n\na"), ("2", "two\n\nb")]


def test_what_is_deleted_or_emptied_leaves_nothing_behind(notes, database):
    made = stored(notes)
    file(database, made)
    embed(notes)
    notes.execute("DELETE FROM notes WHERE id = 1")
    assert texts(notes) == [("2", "two")]
    notes.execute("UPDATE notes SET title = ''")
    file(database, made)
    assert texts(notes) == []
    notes.execute("UPDATE notes SET title = 'again'")
    file(database, made)
    assert texts(notes) == [("2", "again")]
    notes.execute("TRUNCATE notes")
    assert texts(notes) == []


def test_a_row_that_is_too_long_for_a_chunk_is_cut(notes, database):
    notes.execute("UPDATE notes SET body = repeat('A sentence of six words here. ', 100)")
    file(database, stored(notes))
    assert len([text for uri, text in texts(notes) if uri == "1"]) > 2


def test_more_rows_than_a_page_are_filed_by_waking_the_workers(notes, database):
    notes.execute("INSERT INTO notes (title) SELECT 'n' || n FROM generate_series(3, 250) n")
    made = stored(notes)
    worker = FilingQueue(database, made)
    notes.execute("LISTEN ingestion_ledger")
    worker.claim(10)
    assert list(notes.notifies(timeout=0.2))
    worker.claim(10)
    assert len(texts(notes)) == 250


def test_blocks_are_filed_by_their_type(connection, database):
    connection.execute(BLOCKS)
    connection.execute("INSERT INTO documents (title) VALUES ('Handbook')")
    connection.execute(
        "INSERT INTO blocks (document_id, position, block_type, content)"
        """ SELECT id, 1, 'heading', '{"text": "Use"}' FROM documents"""
    )
    made = attached(connection, OF_BLOCKS, vector_column=None, status_column=None)
    file(database, made)
    assert texts(connection) == [("1", "Handbook > Use")]


def test_a_row_whose_expression_fails_loses_its_document(notes, database):
    made = stored(notes, wanted=Wanted(expression="title || 1 / length(title)"))
    file(database, made)
    assert texts(notes) == [("1", "one0"), ("2", "two0")]
    notes.execute("UPDATE notes SET title = '' WHERE id = 1")
    file(database, made)
    assert texts(notes) == [("2", "two0")]
    assert FilingQueue(database, made).depth().quarantined == 1


def test_detaching_deletes_the_documents_and_leaves_the_table_as_it_was(notes, database):
    before = catalog(notes)
    made = stored(notes)
    file(database, made)
    embed(notes)
    detach(notes, "notes")
    assert catalog(notes) == before
    assert notes.execute("SELECT count(*) FROM ingestion.embeddings").fetchone() == (0,)


def test_the_destination_decides_the_queue(notes, database):
    assert isinstance(queue(database, attached(notes), "me"), AttachedQueue)
    assert isinstance(queue(database, stored(notes, name="filed"), "me"), FilingQueue)
