"""`ingest adopt`, as an operator types it, on tables with real vectors of the built-in model."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import httpx
import numpy as np
import pytest
from click.testing import CliRunner, Result

from ingestion_assets.cli import main
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import active
from ingestion_assets.store.status import partitions
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.store.adoption.given import TABLES, Piece, fill, make, pieces, unit

Ingest: TypeAlias = Callable[..., Result]


def _embedded(embedder: str, given: list[Piece], lead: str = "") -> list[Piece]:
    """The pieces with the vectors that the model gives for them."""
    texts = [lead + piece.text for piece in given]
    body = {"model": "all-minilm", "input": texts}
    vectors = httpx.post(f"{embedder}/api/embed", json=body).json()["embeddings"]
    return [
        replace(piece, vector=np.array(vector, np.float32))
        for piece, vector in zip(given, vectors, strict=True)
    ]


def _invoke(database: str, embedder: str, *arguments: str) -> Result:
    environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOST": embedder, "COLUMNS": "80"}
    return CliRunner().invoke(main, arguments, env=environment)


@pytest.fixture
def ingest(database: str, embedder: str) -> Ingest:
    """The command on the test's database."""
    return partial(_invoke, database, embedder)


def _filled(database: str, embedder: str, kind: str, lead: str = "") -> None:
    with connect(database) as connection:
        make(connection, kind, 384)
        fill(connection, kind, _embedded(embedder, pieces(6), lead))


@pytest.mark.parametrize("kind", list(TABLES))
def test_a_table_is_adopted_verified_and_found_by_search(ingest, database, embedder, kind):
    _filled(database, embedder, kind, "lang: en\n\n" if kind.startswith("Llama") else "")
    result = ingest("adopt", TABLES[kind], "--source", "theirs", "--json")
    assert result.exit_code == 0, result.stderr
    done = json.loads(result.stdout)
    assert done["kind"] == kind
    assert done["sample"]["compared"] == 6
    assert done["sample"]["lowest"] > 0.9999
    assert (done["adopted"]["copied"], done["adopted"]["left"]) == (6, 0)
    with connect(database) as connection:  # nothing before the texts, as the model itself has it
        config = connection.execute("SELECT config ->> 'prefix' FROM ingestion.sources").fetchone()
    assert config == (None,)
    found = json.loads(ingest("search", "piece 4", "--source", "theirs", "--json").stdout)
    assert "Piece 4 of the whole." in json.dumps(found)


def test_the_summary_fits_a_terminal_of_80_columns(ingest, database, embedder):
    _filled(database, embedder, "pgai")
    result = ingest("adopt", "articles_embedding_store", "--source", "articles")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split("  ")[0] for line in lines][:3] == ["table", "made by", "rows"]
    assert "6 embedded again, 0 differ, lowest cosine 1.0000" in result.stdout
    assert "public.articles, all-minilm, text '$chunk'" in result.stdout


def test_a_plan_says_what_would_be_done_and_writes_nothing(ingest, database, embedder):
    _filled(database, embedder, "LangChain PGVector")
    result = ingest("adopt", "langchain_pg_embedding", "--plan")
    assert result.exit_code == 0
    assert "6 of 3 documents" in result.stdout
    assert "source notes, a new generation" in result.stdout
    with connect(database) as connection:
        assert active(connection) is None
        assert connection.execute("SELECT count(*) FROM ingestion.sources").fetchone() == (0,)


def test_vectors_of_another_model_are_refused_and_nothing_is_stored(ingest, database):
    with connect(database) as connection:
        make(connection, "pgai", 384)
        other = [replace(p, vector=unit(p.number, 384)) for p in pieces(6)]
        fill(connection, "pgai", other)
    result = ingest("adopt", "articles_embedding_store")
    assert result.exit_code == 1
    assert "6 of 6 rows of the sample do not have the vector that 'all-minilm'" in result.stderr
    assert "pgai's catalog says: model 'all-minilm', text '$chunk'" in result.stderr
    with connect(database) as connection:
        assert active(connection) is None
        assert partitions(connection) == []
    unverified = ingest("adopt", "articles_embedding_store", "--sample", "0")
    assert unverified.exit_code == 0
    assert "Nothing is verified" in unverified.stderr


def test_a_prefix_that_was_embedded_must_be_said(ingest, database, embedder):
    _filled(database, embedder, "LangChain PGVectorStore", "It was said in those days: ")
    refused = ingest("adopt", "langchain_v2")
    assert refused.exit_code == 1
    assert "give --document-prefix" in refused.stderr
    adopted = ingest("adopt", "langchain_v2", "--document-prefix", "It was said in those days: ")
    assert adopted.exit_code == 0, adopted.stderr


def test_a_table_of_another_server_is_adopted_from_there(ingest, postgres, embedder):
    with fresh_database(postgres) as elsewhere:
        with connect(elsewhere) as connection:
            connection.execute("CREATE EXTENSION vector")
        _filled(elsewhere, embedder, "pgai")
        result = ingest("adopt", "articles_embedding_store", "--from", elsewhere, "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["adopted"]["copied"] == 6


def test_rows_without_a_vector_are_embedded_by_a_worker(ingest, database, embedder):
    with connect(database) as connection:
        make(connection, "LangChain PGVector")
        given = _embedded(embedder, pieces(4))
        fill(connection, "LangChain PGVector", [*given[:3], replace(given[3], vector=None)])
    result = ingest("adopt", "langchain_pg_embedding")
    assert result.exit_code == 0
    assert "worker --backfill" in result.stderr
    assert ingest("worker", "--backfill").exit_code == 0
    with connect(database) as connection:
        (status,) = partitions(connection)
    assert (status.source, status.chunks, status.embedded) == ("notes", 4, 4)


def test_an_unusable_vector_ends_with_1_and_the_rows_name(ingest, database, embedder):
    with connect(database) as connection:
        make(connection, "LangChain PGVector")
        given = _embedded(embedder, pieces(3))
        broken = replace(given[2], vector=np.zeros(384, np.float32))
        fill(connection, "LangChain PGVector", [*given[:2], broken])
    result = ingest("adopt", "langchain_pg_embedding")
    assert result.exit_code == 1
    assert f"1 unusable: {broken.id}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["articles"], "there is no table 'articles'"),
        (["articles_embedding_store"], "have 4 dimensions, but 'all-minilm' gives 384"),
        (["articles_embedding_store", "--source", "A b"], "--source 'A b': use 1 to 63 of"),
        (["articles_embedding_store", "--from", "nonsense"], "the database URL cannot be read"),
    ],
)
def test_a_wrong_request_ends_with_2_and_one_line(ingest, database, arguments, message):
    with connect(database) as connection:
        make(connection, "pgai")
        fill(connection, "pgai", pieces(2))
    result = ingest("adopt", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
