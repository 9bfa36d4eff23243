"""`ingest attach`, `attachments` and `detach`, as an operator types them."""

import json
from collections.abc import Callable
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from ingestion_assets.cli import main
from ingestion_assets.store.attached import AttachedQueue, attachments
from ingestion_assets.store.connection import connect
from ingestion_assets.store.ledger import Failed

Ingest: TypeAlias = Callable[..., Result]

NOTES = """
CREATE TABLE notes (id int PRIMARY KEY, title text, body text);
INSERT INTO notes VALUES (1, 'one', 'a'), (2, 'two', NULL)
"""
TEXT = ("--text-column", "title", "--text-column", "body")


@pytest.fixture
def ingest(database: str, embedder: str) -> Ingest:
    """The command on the test's database, in which there are two notes."""
    with connect(database) as connection:
        connection.execute(NOTES)
    environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOST": embedder, "COLUMNS": "100"}
    return lambda *arguments: CliRunner().invoke(main, arguments, env=environment)


def test_a_table_is_attached_listed_and_detached(ingest):
    result = ingest("attach", "notes", *TEXT)
    assert (result.exit_code, result.stdout) == (0, "notes\n")
    assert "Added to it: embedding, embedding_status." in result.stderr
    assert "2 rows looked at" in result.stderr
    listed = ingest("attachments").stdout.splitlines()[1].split()
    assert listed == ["notes", "public.notes", "embedding", "all-minilm", "2", "0", "0", "0", "0"]
    assert "Removed from it: embedding, embedding_status." in ingest("detach", "notes").stderr
    assert ingest("attachments").stdout == ""


def test_every_option_reaches_the_attachment(ingest, database):
    ingest(
        "attach", "public.notes", "--name", "blocks", "--key", "id", "--type-column", "title",
        "--content-column", "body", "--document-column", "id", "--position-column", "id",
        "--level-column", "id", "--title-column", "title", "--title-table", "notes",
        "--prefix", "Represent: ", "--vector-column", "vec", "--status-column", "state",
    )  # fmt: skip
    with connect(database) as connection:
        (made,) = attachments(connection)
    assert (made.name, made.prefix, made.vector_column) == ("blocks", "Represent: ", "vec")
    assert made.status_column == "state"
    assert repr(made.reading) == (
        "Blocks(type='title', content='body', document=Key(column='id', type='integer'),"
        " position='id', level='id', title=Title(column='title', schema='public', table='notes',"
        " key='id'))"
    )


def test_what_failed_is_named_and_tried_again_on_request(ingest, database):
    ingest("attach", "notes", *TEXT)
    with connect(database) as connection:
        (made,) = attachments(connection)
    worker = AttachedQueue(database, made, "me")
    text = next(text for text in worker.claim(2) if text.text.startswith("one"))
    worker.fail([Failed(text.chunk_id, text.content_hash, "PoisonTextError", "NaN", True)])
    worker.release()
    answer = json.loads(ingest("attachments", "--json").stdout)
    assert answer[0]["failed"] == 1
    assert answer[0]["failures"][0]["error_class"] == "PoisonTextError"
    shown = ingest("attachments", "--failed").stdout
    assert "public.notes 1: PoisonTextError: NaN\n    quarantined after 1 attempts" in shown
    assert "1 rows are pending again" in ingest("attachments", "--retry-failed").stderr
    assert json.loads(ingest("attachments", "--json").stdout)[0]["pending"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["notes"], "--text-column (once or more)"),
        (["notes", *TEXT, "--store", "--vector-column", "x"], "contradict each other"),
        (["nots", *TEXT], "there is no table 'nots'"),
        (["notes", "--text", "titel"], 'column "titel" does not exist'),
    ],
)
def test_a_wrong_request_ends_with_2_and_one_line(ingest, arguments, message):
    result = ingest("attach", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_column_of_another_length_is_refused_before_anything_is_changed(ingest, database):
    with connect(database) as connection:
        connection.execute("ALTER TABLE notes ADD embedding vector(768)")
    result = ingest("attach", "notes", *TEXT)
    assert result.exit_code == 2
    assert "vector(768), but the model gives 384 dimensions" in result.stderr
    with connect(database) as connection:
        assert attachments(connection) == []


def test_an_unknown_attachment_is_an_error_of_use(ingest):
    result = ingest("detach", "nothing")
    assert result.exit_code == 2
    assert "no table is attached as 'nothing'; attached are: none" in result.stderr
