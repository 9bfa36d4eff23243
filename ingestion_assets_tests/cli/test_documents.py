"""`ingest documents` shows one document's chunks and what became of each."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from ingestion_assets.cli import main
from ingestion_assets.store import ledger
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.ledger import Failed
from ingestion_assets_tests.store import rows


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def ingest(database: str):
    environment = {"INGESTION_DATABASE_URL": database, "COLUMNS": "80", "TZ": "UTC"}
    return lambda *arguments: CliRunner().invoke(main, arguments, env=environment)


def _fill(connection: Connection) -> None:
    """A document with a chunk in each state, its texts full of marks."""
    generation = rows.generation(connection)
    _, chunks = rows.store(connection, "guide/a.md", ["[bold]good", "bad [/x]", "waiting"])
    good, bad, _ = chunks
    rows.embed(connection, generation, [good])
    failed = Failed(bad.chunk_id, bad.content_hash, "PoisonTextError", "NaN [0]", quarantined=True)
    ledger.record(connection, generation, [failed])


def test_every_chunk_is_shown_with_its_state(connection: Connection, ingest) -> None:
    _fill(connection)
    result: Result = ingest("documents", "guide/a.md")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()[-3:]]
    assert [line[1] for line in lines] == ["completed", "error", "pending"]
    assert "[bold]good" in result.stdout
    assert "bad [/x] [PoisonTextError: NaN [0]]" in " ".join(result.stdout.split())
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_domain_category_and_pages_are_shown(connection: Connection, ingest) -> None:
    rows.store(connection, "a.md", ["one", "two"])
    connection.execute(
        "UPDATE ingestion.documents SET domain = 'people', metadata = '{\"pages\": [0, 10]}'"
    )
    shown = ingest("documents", "a.md").stdout
    assert "domain people, category notes" in shown
    assert "page 1: one" in shown
    assert "page 2: two" in shown
    found = ingest("search", "two", "--method", "text").stdout
    assert "notes/a.md, page 2" in found


def test_json_has_the_texts(connection: Connection, ingest) -> None:
    _fill(connection)
    document = json.loads(ingest("documents", "guide/a.md", "--json").stdout)
    assert document["source"] == "notes"
    assert [chunk["text"] for chunk in document["chunks"]] == ["[bold]good", "bad [/x]", "waiting"]


def test_the_source_may_lead_the_uri_as_search_prints_it(connection: Connection, ingest) -> None:
    _fill(connection)
    assert ingest("documents", "notes/guide/a.md").exit_code == 0


def test_an_unknown_document_is_an_error_that_names_similar_ones(
    connection: Connection, ingest
) -> None:
    _fill(connection)
    result = ingest("documents", "A.md")
    assert result.exit_code == 2
    assert "did you mean guide/a.md?" in result.stderr


def test_a_uri_of_two_sources_needs_the_source(connection: Connection, ingest) -> None:
    rows.store(connection, "a.md", ["one"])
    rows.store(connection, "a.md", ["two"], key="wiki/00")
    assert "choose one with --source" in ingest("documents", "a.md").stderr
    assert "two" in ingest("documents", "a.md", "--source", "wiki").stdout


def test_a_document_is_shown_before_there_is_a_generation(connection: Connection, ingest) -> None:
    rows.store(connection, "a.md", ["one"])
    assert "pending" in ingest("documents", "a.md").stdout
