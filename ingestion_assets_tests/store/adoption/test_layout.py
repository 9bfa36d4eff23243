"""A table is known by its columns; what is no such table is refused with what was looked for."""

import pytest
from psycopg.types.json import Jsonb

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.adoption import detect, rows, survey
from ingestion_assets.store.audit import snapshot
from ingestion_assets.store.connection import connect
from ingestion_assets_tests.store.adoption.given import TABLES, VECTORIZER, fill, make, pieces


@pytest.mark.parametrize("kind", list(TABLES))
def test_the_columns_tell_whose_it_is_whatever_its_name(connection, kind):
    make(connection, kind)
    fill(connection, kind, pieces(4))
    connection.execute(f'ALTER TABLE {TABLES[kind]} RENAME TO "My 100% Table"')
    layout = detect(connection, '"My 100% Table"')
    assert layout.kind == kind
    counted = survey(connection, layout)
    assert (counted.rows, counted.vectors, counted.documents) == (4, 4, 2)
    assert counted.widths == {4: 4}


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        ("CREATE TABLE t (id int, body text)", r"columns are id, body. Looked for were pgai: emb"),
        (
            "CREATE TABLE t (langchain_id uuid, content text, embedding vector, id int,"
            " node_id text, text text, metadata_ jsonb)",
            "fits LangChain PGVectorStore and LlamaIndex PGVectorStore",
        ),
        (
            "CREATE TABLE t (langchain_id uuid, content text, embedding bytea)",
            "has the type bytea; only vector and halfvec",
        ),
        ("CREATE VIEW t AS SELECT 1 AS id", "is no table; adopt the table that has the vectors"),
        ("SELECT", "there is no table 't'"),
    ],
)
def test_what_cannot_be_adopted_is_refused_with_the_reason(connection, ddl, message):
    connection.execute(ddl)
    with pytest.raises(ConfigError, match=message):
        detect(connection, "t")


def test_one_of_several_collections_must_be_named(connection):
    make(connection, "LangChain PGVector")
    fill(connection, "LangChain PGVector", pieces(3))
    assert detect(connection, "langchain_pg_embedding").collection == "notes"
    connection.execute(
        "INSERT INTO langchain_pg_collection VALUES (gen_random_uuid(), 'other', NULL)"
    )
    with pytest.raises(ConfigError, match=r"several collections; .* --collection: notes, other"):
        detect(connection, "langchain_pg_embedding")
    with pytest.raises(ConfigError, match="no collection 'third'"):
        detect(connection, "langchain_pg_embedding", "third")
    other = detect(connection, "langchain_pg_embedding", "other")
    assert survey(connection, other).rows == 0


def test_a_collection_of_a_table_that_has_none_is_an_error_of_use(connection):
    make(connection, "pgai")
    with pytest.raises(ConfigError, match="of pgai, which has no collections"):
        detect(connection, "articles_embedding_store", "notes")


@pytest.mark.parametrize(
    ("embedded", "prefix"),
    [("$chunk", ""), ("passage: $chunk", "passage: "), ("$title $chunk", None), ("none", None)],
)
def test_pgais_catalog_says_what_stood_before_each_chunk(connection, embedded, prefix):
    make(connection, "pgai")
    config = {**VECTORIZER, "formatting": {"template": embedded}}
    connection.execute("UPDATE ai.vectorizer SET config = %s", (Jsonb(config),))
    told = detect(connection, "articles_embedding_store").vectorizer
    assert told is not None
    assert (told.source, told.model, told.prefix) == ("public.articles", "all-minilm", prefix)


def test_a_key_of_several_columns_names_the_document(database, connection):
    make(connection, "pgai")
    fill(connection, "pgai", pieces(2))
    connection.execute("ALTER TABLE articles_embedding_store ADD lang text DEFAULT 'en'")
    with connect(database) as theirs, snapshot(theirs):
        found = list(rows(theirs, detect(theirs, "articles_embedding_store")))
    assert found[0].document == '[0, "en"]'
    assert found[0].metadata == {"id": 0, "lang": "en"}
