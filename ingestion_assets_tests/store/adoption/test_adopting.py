"""Rows of other packages' tables become documents, chunks and vectors of ours, exactly."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg.types.json import Json

from ingestion_assets.chunks.chunk import content_hash
from ingestion_assets.errors import ConfigError, StoreUnavailableError
from ingestion_assets.store import claims, sources
from ingestion_assets.store.adoption import (
    Row,
    Target,
    adopt,
    check_name,
    detect,
    join,
    joined,
    rows,
    survey,
)
from ingestion_assets.store.audit import snapshot
from ingestion_assets.store.connection import connect, partition_lock
from ingestion_assets.store.generations import Recipe, active
from ingestion_assets_tests.store.adoption.given import (
    RECIPE,
    TABLES,
    Piece,
    fill,
    make,
    pieces,
    taken_over,
    unit,
)

KINDS = list(TABLES)
CHUNKS = """
SELECT c.text, substr(d.text, c.start_offset + 1, c.end_offset - c.start_offset),
       c.heading, c.content_hash, e.content_hash, e.embedding::text
FROM ingestion.chunks c JOIN ingestion.documents d USING (document_id)
LEFT JOIN ingestion.embeddings e USING (chunk_id) ORDER BY c.text
"""


def _vector(text: str) -> NDArray[np.float32]:
    return np.array([float(number) for number in text[1:-1].split(",")], np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_every_chunk_has_its_rows_text_and_vector_and_nothing_waits(database, connection, kind):
    make(connection, kind)
    given = pieces(7)
    fill(connection, kind, given)
    before = connection.execute(f"SELECT t::text FROM {TABLES[kind]} t ORDER BY 1").fetchall()
    done, _ = taken_over(database, kind)
    assert (done.rows, done.documents, done.chunks, done.copied, done.left) == (7, 4, 7, 7, 0)
    found = connection.execute(CHUNKS).fetchall()
    for piece, (text, cut, heading, of_chunk, of_vector, vector) in zip(given, found, strict=True):
        assert text == cut == piece.text
        assert heading == ("lang: en" if kind.startswith("Llama") else "")
        assert of_chunk == of_vector == content_hash(None, heading, text)
        assert _vector(vector) == pytest.approx(piece.vector, abs=1e-6)
    assert connection.execute("SELECT count(*) FROM ingestion.ledger").fetchone() == (0,)
    texts = connection.execute("SELECT text FROM ingestion.documents ORDER BY uri").fetchall()
    assert texts[0] == (f"{given[0].text}\n\n{given[1].text}",)
    after = connection.execute(f"SELECT t::text FROM {TABLES[kind]} t ORDER BY 1").fetchall()
    assert after == before


@pytest.mark.parametrize("kind", KINDS)
def test_adopting_again_writes_nothing(database, connection, kind):
    make(connection, kind)
    fill(connection, kind, pieces(5))
    taken_over(database, kind)
    rows_ = "SELECT xmin::text, chunk_id FROM {} ORDER BY 2"
    written = [
        connection.execute(rows_.format(t)).fetchall()
        for t in ("ingestion.chunks", "ingestion.embeddings_1")
    ]
    done, _ = taken_over(database, kind)
    assert (done.changed, done.copied, done.present) == (0, 0, 5)
    assert written == [
        connection.execute(rows_.format(t)).fetchall()
        for t in ("ingestion.chunks", "ingestion.embeddings_1")
    ]


def test_only_what_changed_is_copied_and_replaced_chunks_go(database, connection):
    make(connection, "LangChain PGVector")
    given = pieces(6)
    fill(connection, "LangChain PGVector", given)
    taken_over(database, "LangChain PGVector")
    connection.execute(
        "UPDATE langchain_pg_embedding SET document = 'another', embedding = %s WHERE id = %s",
        (str(unit(99).tolist()), given[0].id),
    )
    connection.execute("DELETE FROM langchain_pg_embedding WHERE cmetadata ->> 'source' = '2'")
    fill(connection, "LangChain PGVector", [Piece(50, "new", unit(50), 7)])
    done, _ = taken_over(database, "LangChain PGVector")
    assert (done.documents, done.changed, done.copied, done.vanished) == (3, 2, 2, 1)
    texts = {row[0] for row in connection.execute(CHUNKS)}
    assert texts == {"another", "new", *(piece.text for piece in given[1:])}


def test_rows_without_a_usable_vector_wait_in_the_ledger_and_are_named(database, connection):
    make(connection, "LangChain PGVector")
    bad = [
        Piece(1, "none", None, 1),
        Piece(2, "zero", np.zeros(4, np.float32), 2),
        Piece(3, "short", np.ones(3, np.float32), 3),
        Piece(4, "double", 2 * unit(4), 4),
    ]
    fill(connection, "LangChain PGVector", bad)
    done, _ = taken_over(database, "LangChain PGVector")
    assert (done.copied, done.normalised, done.refused, done.left) == (1, 1, 2, 3)
    assert sorted(done.refused_ids) == [bad[1].id, bad[2].id]
    waiting = connection.execute(
        "SELECT c.text FROM ingestion.ledger JOIN ingestion.chunks c USING (chunk_id) ORDER BY 1"
    ).fetchall()
    assert waiting == [("none",), ("short",), ("zero",)]
    (stored,) = connection.execute("SELECT embedding::text FROM ingestion.embeddings").fetchone()
    assert _vector(stored) == pytest.approx(unit(4), abs=1e-6)


def test_rows_without_text_are_left_out_counted_and_named(database, connection):
    make(connection, "LangChain PGVector")
    given = [Piece(1, " \n", unit(1)), Piece(2, "text", unit(2))]
    fill(connection, "LangChain PGVector", given)
    with connect(database) as theirs:
        assert survey(theirs, detect(theirs, "langchain_pg_embedding")).empty == 1
    done, _ = taken_over(database, "LangChain PGVector")
    assert (done.rows, done.chunks, done.empty, done.empty_ids) == (2, 1, 1, [given[0].id])


def test_rows_of_no_known_document_are_documents_of_their_own(database, connection):
    make(connection, "LangChain PGVector")
    fill(connection, "LangChain PGVector", pieces(3))
    connection.execute("UPDATE langchain_pg_embedding SET cmetadata = NULL")
    done, _ = taken_over(database, "LangChain PGVector")
    assert done.documents == 3
    uris = connection.execute("SELECT uri FROM ingestion.documents ORDER BY 1").fetchall()
    assert uris == [(piece.id,) for piece in pieces(3)]


def test_the_same_text_twice_in_a_document_is_two_chunks(database, connection):
    make(connection, "pgai")
    fill(connection, "pgai", [Piece(1, "same", unit(1)), Piece(2, "same", unit(1))])
    done, _ = taken_over(database, "pgai")
    assert (done.chunks, done.copied) == (2, 2)


def test_chunks_stand_in_the_order_in_which_they_were_cut(database, connection):
    make(connection, "LangChain PGVectorStore")
    for number, start in ((1, 20), (2, 0), (3, 100)):
        connection.execute(
            "INSERT INTO langchain_v2 VALUES (%s, %s, %s, %s)",
            (
                Piece(number, "", None).id,
                f"from {start}",
                str(unit(number).tolist()),
                Json({"source": "a", "start_index": start}),
            ),
        )
    taken_over(database, "LangChain PGVectorStore")
    text = connection.execute("SELECT text FROM ingestion.documents").fetchone()
    assert text == ("from 0\n\nfrom 20\n\nfrom 100",)


def test_metadata_is_kept_shared_and_of_each_chunk_even_what_jsonb_refuses(database, connection):
    make(connection, "LangChain PGVectorStore")
    connection.execute("ALTER TABLE langchain_v2 ADD price numeric")
    for number in (1, 2):
        said = '{"source": "a", "tag": "x\\u0000y", "page": %d, "modified_at": "2026-02-03"}'
        connection.execute(
            "INSERT INTO langchain_v2 VALUES (%s, %s, %s, %s, 7)",
            (Piece(number, "", None).id, f"t{number}", str(unit(1).tolist()), said % number),
        )
    taken_over(database, "LangChain PGVectorStore")
    metadata, at = connection.execute(
        "SELECT metadata, modified_at AT TIME ZONE 'UTC' FROM ingestion.documents"
    ).fetchone()
    assert metadata == {
        "source": "a", "tag": "xy", "price": 7, "modified_at": "2026-02-03",
        "adopted_from": "langchain_v2", "chunks": [{"page": 1}, {"page": 2}],
    }  # fmt: skip
    assert str(at) == "2026-02-03 00:00:00"


def test_vectors_of_half_precision_are_adopted(database, connection):
    make(connection, "LlamaIndex PGVectorStore")
    connection.execute("ALTER TABLE data_llama ALTER embedding TYPE halfvec(4)")
    fill(connection, "LlamaIndex PGVectorStore", pieces(2))
    done, _ = taken_over(database, "LlamaIndex PGVectorStore")
    assert (done.copied, done.normalised) == (2, 0)
    stored = connection.execute(CHUNKS).fetchall()
    assert _vector(stored[1][5]) == pytest.approx(unit(1), abs=1e-3)


def test_a_document_of_very_many_rows_is_continued_in_another(database, connection, monkeypatch):
    monkeypatch.setattr("ingestion_assets.store.adoption.making._MOST_ROWS", 2)
    make(connection, "pgai")
    fill(connection, "pgai", pieces(5, each=9))
    taken_over(database, "pgai")
    uris = connection.execute("SELECT uri FROM ingestion.documents ORDER BY 1").fetchall()
    assert uris == [("0",), ("0#2",), ("0#3",)]


def test_what_an_interrupted_adoption_stored_is_kept_and_the_rest_follows(
    database, connection, monkeypatch
):
    monkeypatch.setattr("ingestion_assets.store.adoption.adopting._ROWS_AT_ONCE", 2)
    make(connection, "pgai")
    fill(connection, "pgai", pieces(8))

    def broken(found: Iterator[Row]) -> Iterator[Row]:
        yield from islice(found, 5)
        raise KeyboardInterrupt

    generation = join(connection, RECIPE)
    target = Target("theirs", None, "pgai", TABLES["pgai"])
    with connect(database) as theirs, snapshot(theirs), pytest.raises(KeyboardInterrupt):
        adopt(connection, generation, target, broken(rows(theirs, detect(theirs, target.table))))
    kept = connection.execute("SELECT count(*) FROM ingestion.embeddings").fetchone()
    assert kept == (4,)
    done, _ = taken_over(database, "pgai")
    assert (done.present, done.copied, done.left) == (4, 4, 0)


def test_the_original_need_only_be_readable(database, connection):
    make(connection, "pgai")
    fill(connection, "pgai", pieces(2))
    with connect(database) as theirs, snapshot(theirs):
        layout = detect(theirs, TABLES["pgai"])
        assert len(list(rows(theirs, layout))) == 2
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            theirs.execute("DELETE FROM articles_embedding_store")


def test_what_waits_is_embedded_with_the_prefix_of_its_source_not_the_models(connection):
    recipe = Recipe("nomic-embed-text", "e" * 64, 4, "search_document: ", "search_query: ", {})
    generation = join(connection, recipe)
    bare = Target("bare", "", "pgai", "t")
    own = Target("own", None, "pgai", "u")
    for target in (bare, own):
        row = Row("1", "d", "", target.source, None, {})
        assert adopt(connection, generation, target, [row]).left == 1
    texts = claims.claim(connection, generation, "me", limit=10)
    assert sorted(text.text for text in texts) == ["bare", "search_document: own"]


def test_another_prefix_is_another_text(database, connection):
    make(connection, "pgai")
    fill(connection, "pgai", [Piece(1, "text", unit(1))])
    taken_over(database, "pgai", prefix="passage: ")
    (hashed,) = connection.execute("SELECT content_hash FROM ingestion.chunks").fetchone()
    assert hashed == content_hash("passage: ", "", "text")
    done, _ = taken_over(database, "pgai")
    assert (done.changed, done.copied) == (1, 1)


def test_vectors_join_the_active_generation_of_the_same_recipe_only(connection):
    assert joined(connection, RECIPE) is None
    first = join(connection, RECIPE)
    assert first.status == "active"
    assert join(connection, RECIPE) == first
    other = Recipe("nomic-embed-text", "e" * 64, 4, "search_document: ", "", {})
    with pytest.raises(ConfigError, match=r"model 'all-minilm' instead of 'nomic-embed-text'"):
        join(connection, other)
    assert active(connection) == first


def test_a_source_of_that_name_is_never_taken_over(database, connection):
    make(connection, "pgai")
    taken_over(database, "pgai")
    check_name(connection, Target("theirs", None, "pgai", TABLES["pgai"]))
    with pytest.raises(ConfigError, match="adopted from articles_embedding_store already"):
        check_name(connection, Target("theirs", None, "pgai", "another"))
    sources.register(connection, "handbook", "files", 1, {})
    with pytest.raises(ConfigError, match="of kind 'files' already"):
        check_name(connection, Target("handbook", None, "pgai", "another"))


def test_a_source_of_the_project_cannot_take_an_adopted_ones_name(database, connection):
    make(connection, "pgai")
    taken_over(database, "pgai")
    with pytest.raises(ConfigError, match="ingest sources remove theirs"):
        sources.register(connection, "theirs", "files", 1, {})
    assert sources.unlisted(connection, []) == ["theirs"]
    assert sources.unlisted(connection, [], but=("table", "adopted")) == []


def test_two_adoptions_of_one_source_exclude_each_other(database, connection):
    make(connection, "pgai")
    fill(connection, "pgai", pieces(2))
    generation = join(connection, RECIPE)
    target = Target("theirs", None, "pgai", TABLES["pgai"])
    with (
        connect(database) as theirs,
        connect(database) as second,
        snapshot(theirs),
        partition_lock(connection, target.partition_key),
        pytest.raises(StoreUnavailableError, match="being written by another run"),
    ):
        adopt(second, generation, target, rows(theirs, detect(theirs, TABLES["pgai"])))
