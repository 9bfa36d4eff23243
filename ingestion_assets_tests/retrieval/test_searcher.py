"""Search finds what there is: all of it, in the right order, of one generation."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from ingestion_assets.errors import (
    ConfigError,
    OllamaAnswerError,
    OllamaUnavailableError,
    QueryError,
    StoreUnavailableError,
)
from ingestion_assets.retrieval import statement
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.request import MAX_K, Filters, Search
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.store import chunks
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.generations.activation import activate_when_covered
from ingestion_assets.store.index import build_text_index, build_vector_index
from ingestion_assets.store.pool import open_pool
from ingestion_assets_tests.retrieval.stored import Model, by_hand, fill, searching
from ingestion_assets_tests.store import rows


@pytest.fixture
def connection(database):
    with connect(database) as connection:
        yield connection


@pytest.mark.parametrize("dimensions", [4, 384])
async def test_the_nearest_are_those_that_numpy_finds(database, connection, dimensions):
    _, pieces, matrix = fill(connection, dimensions, 100)
    model = Model(dimensions)
    async with searching(database, model) as searcher:
        for text in ("a", "b", "c"):
            results = await searcher.search(Search(text, method="vector"))
            ids, scores = by_hand(pieces, matrix, model.vector(text), 10)
            assert [hit.chunk_id for hit in results.hits] == ids
            np.testing.assert_allclose([hit.score for hit in results.hits], scores, atol=1e-6)
            assert [hit.vector_rank for hit in results.hits] == list(range(1, 11))


async def test_half_precision_is_searched_as_it_is_stored(database, connection):
    _, pieces, matrix = fill(connection, 2001, 20)
    model = Model(2001)
    async with searching(database, model) as searcher:
        results = await searcher.search(Search("?", 60, "vector"))
    half = matrix.astype(np.float16), model.vector("?").astype(np.float16).astype(np.float64)
    ids, scores = by_hand(pieces, *half, 60)
    assert [hit.chunk_id for hit in results.hits] == ids
    np.testing.assert_allclose([hit.score for hit in results.hits], scores, atol=1e-5)


async def test_a_hit_says_where_it_is_from(database, connection):
    generation = rows.generation(connection)
    document, _ = rows.store(connection, "a.md", [])
    (chunk,) = rows.split(document, ["body"], heading="A > B")
    chunks.write(connection, rows.batch(document, new=[chunk]))
    rows.embed(connection, generation, [chunk])
    async with searching(database) as searcher:
        results = await searcher.search(Search("A > B\n\nbody", method="vector"))
    (hit,) = results.hits
    assert hit.score == pytest.approx(1)
    assert hit.distance == pytest.approx(0, abs=1e-6)
    assert (hit.chunk_id, hit.document_id) == (chunk.chunk_id, document.document_id)
    assert (hit.source, hit.uri, hit.title) == ("notes", "a.md", "A.Md")
    assert (hit.heading, hit.text, hit.start_offset, hit.end_offset) == ("A > B", "body", 0, 4)
    assert (hit.metadata, hit.embedded) == (document.metadata, True)
    assert (results.method, results.mode, results.degraded) == ("vector", "exact", ())
    assert results.generation_id == generation.generation_id
    assert results.timings.keys() == {"embed", "search", "total"}


@pytest.mark.parametrize(
    ("pages", "found"),
    [([0, 10, 25], [1, 2, 2, 3]), ("ten", [None] * 4), (12, [None] * 4), ({}, [None] * 4)],
)
async def test_a_hit_says_on_which_page_it_begins(database, connection, pages, found):
    rows.store(connection, "a.md", ["word one", "word two", "word three", "word four"])
    connection.execute(
        "UPDATE ingestion.documents SET metadata = jsonb_build_object('pages', %s::jsonb, 'a', 1)",
        (Jsonb(pages),),
    )
    async with searching(database) as searcher:
        hits = (await searcher.search(Search("word", method="text"))).hits
    assert [hit.page for hit in sorted(hits, key=lambda hit: hit.start_offset)] == found
    kept = {} if found[0] else {"pages": pages}
    assert all(hit.metadata == {"a": 1, **kept} for hit in hits)


async def test_words_are_found_best_match_first(database, connection):
    rows.store(
        connection, "a.md", ["a big harbour", "a lighthouse here", "harbour with lighthouse"]
    )
    rows.store(connection, "b.md", [f"harbour, number {i}" for i in range(9)])
    async with searching(database) as searcher:
        results = await searcher.search(Search("harbour lighthouses", 2, "text"))
    assert [hit.text for hit in results.hits] == ["harbour with lighthouse", "a lighthouse here"]
    assert [hit.text_rank for hit in results.hits] == [1, 2]
    assert results.hits[0].score > results.hits[1].score > 0


async def test_a_very_common_word_counts_little_although_not_all_of_its_chunks_are_looked_at(
    database, connection, monkeypatch
):
    rows.store(connection, "a.md", [f"common {i}" for i in range(100)])
    rows.store(connection, "b.md", ["common rarity", "a rarity"])
    build_text_index(connection, "english")
    request = Search("common rarity", 5, "text")
    async with searching(database) as searcher:
        whole = await searcher.search(request)
        monkeypatch.setattr(statement, "MOST_POSTINGS", 5)
        assert (await searcher.search(request)).hits[:2] == whole.hits[:2]
    assert [hit.text for hit in whole.hits[:2]] == ["common rarity", "a rarity"]


def test_more_chunks_are_looked_at_than_are_ever_asked_for():
    assert statement.MOST_POSTINGS >= 4 * MAX_K


async def test_a_heading_is_searched_with_its_text(database, connection):
    document, _ = rows.store(connection, "a.md", [])
    new = rows.split(document, ["It is 40 m high."], heading="Lighthouses")
    chunks.write(connection, rows.batch(document, new=new))
    async with searching(database) as searcher:
        assert (await searcher.search(Search("lighthouse", method="text"))).hits


async def test_quoted_words_stand_together_and_excluded_ones_do_not_occur(database, connection):
    texts = ["hot spring water", "spring is hot", "hot spring in winter"]
    rows.store(connection, "a.md", texts)
    async with searching(database) as searcher:
        quoted = await searcher.search(Search('"hot spring"', method="text"))
        excluded = await searcher.search(Search("spring -winter", method="text"))
        plain = await searcher.search(Search("hot spring", method="text"))
    assert {hit.text for hit in quoted.hits} == {texts[0], texts[2]}
    assert {hit.text for hit in excluded.hits} == {texts[0], texts[1]}
    assert len(plain.hits) == 3


async def test_the_index_changes_nothing_about_what_is_found(database, connection):
    fill(connection, 4, 30)
    async with searching(database) as searcher:
        for text in ("text 7", '"text 7" -1', "text 1 text 2"):
            request = Search(text, 50, "text")
            before = await searcher.search(request)
            build_text_index(connection, "english")
            assert (await searcher.search(request)).hits == before.hits
            connection.execute("DROP INDEX ingestion.chunks_words_english")


async def test_words_are_found_before_there_is_a_vector(database, connection):
    generation, _, _ = fill(connection, 4, 3)
    rows.store(connection, "new.md", ["brand new"])
    async with searching(database) as searcher:
        for method in ("text", "hybrid"):
            results = await searcher.search(Search("brand", method=method))
            [hit] = [hit for hit in results.hits if hit.text == "brand new"]
            assert (hit.embedded, hit.distance, hit.vector_rank) == (False, None, None)
            assert results.generation_id == generation.generation_id


async def test_hybrid_adds_the_reciprocal_ranks_of_both(database, connection):
    fill(connection, 4, 30)
    async with searching(database) as searcher:
        ranks = [
            {hit.chunk_id: n for n, hit in enumerate(found.hits, 1)}
            for method in ("vector", "text")
            for found in [await searcher.search(Search("text 7", 50, method))]
        ]
        results = await searcher.search(Search("text 7", 20))
    both = set(ranks[0]) | set(ranks[1])
    fused = {key: sum(1 / (60 + rank[key]) for rank in ranks if key in rank) for key in both}
    order = sorted(both, key=lambda key: (-fused[key], key))[:20]
    assert [hit.chunk_id for hit in results.hits] == order
    assert [hit.score for hit in results.hits] == pytest.approx([fused[key] for key in order])
    assert all(
        [hit.vector_rank, hit.text_rank] == [rank.get(hit.chunk_id) for rank in ranks]
        for hit in results.hits
    )
    assert all(hit.distance is not None for hit in results.hits)


@pytest.mark.parametrize("method", ["vector", "hybrid", "text"])
async def test_never_fewer_come_back_than_exist(database, connection, method):
    generation, pieces, _ = fill(connection, 4, 20)
    build_vector_index(connection, generation)
    async with searching(database, exact_limit=0) as searcher:
        for mode in ("auto", "exact", "approx"):
            for k in (1, 59, 60, 61):
                results = await searcher.search(Search("text", k, method, mode))
                assert len({hit.chunk_id for hit in results.hits}) == min(k, len(pieces))


async def test_a_source_is_searched_alone_and_completely(database, connection):
    _, pieces, matrix = fill(connection, 4, 50)
    papers = Filters(source="papers")
    async with searching(database) as searcher:
        nearest = await searcher.search(Search("?", 1000, "vector", filters=papers))
        fused = await searcher.search(Search("text", 1000, filters=papers))
        nobody = await searcher.search(Search("text", filters=Filters(source="nobody")))
    ids, _ = by_hand(pieces[100:], matrix[100:], Model().vector("?"), 50)
    assert [hit.chunk_id for hit in nearest.hits] == ids
    assert {hit.chunk_id for hit in fused.hits} == set(ids)
    assert nobody.hits == []


def _spoil(connection, generation: Generation) -> None:
    """Give the vectors an index that finds little."""
    index = sql.SQL("CREATE INDEX {} ON {} USING hnsw (embedding vector_cosine_ops) WITH (m = 2)")
    name = sql.Identifier(f"{generation.name}_hnsw")
    connection.execute(index.format(name, generation.table))
    note = sql.SQL("COMMENT ON INDEX ingestion.{} IS '{{\"ef_search\": 1}}'").format(name)
    connection.execute(note)
    connection.execute(f"ALTER DATABASE {_name(connection)} SET enable_seqscan = off")
    connection.execute(sql.SQL("ANALYZE {}").format(generation.table))


def _name(connection) -> str:
    return str(connection.info.dbname)


async def test_an_approximate_index_does_not_make_the_exact_inexact(database, connection):
    generation, pieces, matrix = fill(connection, 4, 700)
    _spoil(connection, generation)
    question = Model().vector("?")
    async with searching(database) as searcher:
        for source, mine in ((None, slice(None)), ("papers", slice(1400, None))):
            for mode in ("exact", "auto"):
                request = Search("?", 300, "vector", mode, Filters(source=source))
                results = await searcher.search(request)
                assert results.mode == "exact"
                ids, _ = by_hand(pieces[mine], matrix[mine], question, 300)
                assert [hit.chunk_id for hit in results.hits] == ids


async def test_many_vectors_are_searched_through_the_index_and_few_are_not(database, connection):
    generation, _, _ = fill(connection, 4, 100)
    build_vector_index(connection, generation)
    connection.execute(sql.SQL("ANALYZE {}").format(generation.table))
    async with searching(database, exact_limit=150) as searcher:
        modes = [
            (await searcher.search(Search("?", 10, "vector", mode, filters))).mode
            for filters in (Filters(), Filters(source="notes"), Filters(source="papers"))
            for mode in ("auto", "approx", "exact")
        ]
    assert modes == ["approx", "approx", "exact"] * 2 + ["exact"] * 3


async def test_an_approximate_search_that_falls_short_is_done_exactly(database, connection):
    generation, pieces, matrix = fill(connection, 4, 100)
    build_vector_index(connection, generation)
    connection.execute("COMMENT ON INDEX ingestion.embeddings_1_hnsw IS '{\"ef_search\": 1}'")
    connection.execute(f"ALTER DATABASE {_name(connection)} SET hnsw.max_scan_tuples = 1")
    request = Search("?", 90, "vector", "approx", Filters(source="papers"))
    async with searching(database, exact_limit=50) as searcher:
        results = await searcher.search(request)
        assert (await searcher.search(replace(request, k=5))).mode == "approx"
    assert results.mode == "exact"
    ids, _ = by_hand(pieces[200:], matrix[200:], Model().vector("?"), 90)
    assert [hit.chunk_id for hit in results.hits] == ids


async def test_approx_without_an_index_is_exact_and_says_so(database, connection):
    fill(connection, 4, 3)
    async with searching(database) as searcher:
        results = await searcher.search(Search("?", 9, "vector", "approx"))
    assert (results.mode, len(results.hits)) == ("exact", 9)
    assert results.degraded == ("approx: the vectors have no index; compared with every one",)


@pytest.mark.parametrize("method", ["vector", "text", "hybrid"])
async def test_ties_come_in_the_order_of_their_ids(database, connection, method):
    generation = rows.generation(connection)
    pieces = []
    for n in range(20):
        pieces += rows.store(connection, f"{n}.md", ["twin", f"other {n}"])[1]
    rows.embed(connection, generation, pieces)
    same = sorted(chunk.chunk_id for chunk in pieces if chunk.text == "twin")
    async with searching(database) as searcher:
        for k in (7, 20):
            results = await searcher.search(Search("twin", k, method))
            assert [hit.chunk_id for hit in results.hits] == same[:k]


async def test_an_old_vector_is_found_until_its_replacement_is_there(database, connection):
    generation = rows.generation(connection)
    document, old = rows.store(connection, "a.md", ["old"])
    rows.embed(connection, generation, old)
    new = rows.split(document, ["new"])
    chunks.write(connection, rows.batch(document, new=new, gone=old))
    searches = [Search("?", 5, "vector"), Search("new", 5, "text"), Search("old", 5, "text")]
    async with searching(database) as searcher:
        found = [[hit.text for hit in (await searcher.search(each)).hits] for each in searches]
    assert found == [["old"], ["new"], []]


async def test_a_model_of_another_width_is_an_error(database, connection):
    fill(connection, 4, 1)
    async with searching(database, Model(3)) as searcher:
        with pytest.raises(OllamaAnswerError, match="3 dimensions where 4 are stored"):
            await searcher.search(Search("?", method="vector"))


async def test_without_ollama_a_hybrid_search_is_one_by_words_and_says_so(database, connection):
    fill(connection, 4, 3)
    model = Model()
    model.down = True
    async with searching(database, model) as searcher:
        results = await searcher.search(Search("text 1"))
        with pytest.raises(OllamaUnavailableError):
            await searcher.search(Search("text 1", method="vector"))
        by_words = await searcher.search(Search("text 1", method="text"))
        model.down = False
        assert (await searcher.search(Search("text 1"))).method == "hybrid"
    assert (results.method, results.hits) == ("text", by_words.hits)
    assert [note.partition(":")[0] for note in results.degraded] == ["ollama"]
    assert by_words.degraded == ()


async def test_nothing_stored_is_nothing_found_and_says_why(database):
    async with searching(database) as searcher:
        for method in ("vector", "hybrid"):
            results = await searcher.search(Search("text", method=method))
            assert (results.hits, results.generation_id) == ([], None)
            assert "ingest run" in results.degraded[0]
        assert (await searcher.search(Search("text", method="text"))).hits == []


async def test_a_generation_activated_meanwhile_is_searched_with_its_own_question(
    database, connection
):
    _, pieces, _ = fill(connection, 4, 10)
    model = Model()

    async def activate() -> None:
        model.before = None
        other = rows.generation(connection, 4, "other")
        rows.embed(connection, other, pieces)
        assert activate_when_covered(connection, other)

    model.before = activate
    async with searching(database, model) as searcher:
        results = await searcher.search(Search("?", 30, "vector"))
    assert results.generation_id == 2
    assert len(results.hits) == 30
    assert model.asked == ["?", "?"]


async def test_a_model_that_is_gone_with_its_generation_is_not_asked_for_any_more(
    database, connection
):
    _, pieces, _ = fill(connection, 4, 3)
    model = Model()
    async with searching(database, model) as searcher:
        await searcher.search(Search("?", method="vector"))
        other = rows.generation(connection, 4, "other")
        rows.embed(connection, other, pieces)
        activate_when_covered(connection, other)
        model.names = {"other"}
        results = await searcher.search(Search("!", 9, "vector"))
    assert (results.generation_id, len(results.hits)) == (2, 9)


async def test_a_generation_dropped_meanwhile_is_not_searched(database, connection):
    first, pieces, _ = fill(connection, 4, 10)
    model = Model()

    async def move_on() -> None:
        model.before = None
        other = rows.generation(connection, 4, "other")
        rows.embed(connection, other, pieces)
        activate_when_covered(connection, other)
        connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(first.table))

    model.before = move_on
    async with searching(database, model) as searcher:
        assert (await searcher.search(Search("text", 30))).generation_id == 2


async def test_no_connection_is_held_while_ollama_is_waited_for(database, connection):
    fill(connection, 4, 3)
    model = Model()
    async with searching(database, model) as searcher:

        async def use_the_only_connection() -> None:
            model.before = None
            await searcher.search(Search("text", method="text"))

        model.before = use_the_only_connection
        async with asyncio.timeout(5):
            assert (await searcher.search(Search("text"))).hits


async def test_a_question_of_stop_words_has_a_meaning_but_no_words(database, connection):
    fill(connection, 4, 3)
    async with searching(database) as searcher:
        with pytest.raises(QueryError, match="no word to look for"):
            await searcher.search(Search("the of and", method="text"))
        with pytest.raises(QueryError, match="exclusions"):
            await searcher.search(Search("-text", method="text"))
        results = await searcher.search(Search("the of and"))
        assert (await searcher.search(Search("absent", method="text"))).hits == []
    assert len(results.hits) == 9
    assert results.degraded[0].startswith("text: 'the of and' has no word")


@pytest.mark.parametrize(
    "text",
    [
        "a & b | !c <-> d:*",
        "it's \\ a \\'quoted\\' ''thing''",
        '"unbalanced',
        "-",
        "--- drop table; %(k)s {table} %s",
        "ΑΒΓ 你好 \u202e 🦆",
        "x" * 8192,
        "word " * 1600,
        "http://user@host:80/a/b.html?c=d#e foo-bar_baz 1.5e10",
    ],
)
async def test_any_text_can_be_searched_for(database, connection, text):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", [text.strip()[:2000], "other"])
    rows.embed(connection, generation, pieces)
    build_text_index(connection, "english")
    async with searching(database) as searcher:
        assert len((await searcher.search(Search(text))).hits) == 2


async def test_the_first_words_of_a_long_question_are_used_and_that_is_said(database, connection):
    rows.store(connection, "a.md", ["first", "last"])
    words = ["first", *(f"w{i}" for i in range(70)), "last"]
    async with searching(database) as searcher:
        results = await searcher.search(Search(" ".join(words), method="text"))
    assert [hit.text for hit in results.hits] == ["first"]
    assert results.degraded == ("text: only the first 64 of 72 words were used",)


async def test_the_language_decides_what_is_the_same_word(database, connection):
    rows.store(connection, "a.md", ["der Hafen", "die Häfen"])
    found = {}
    for language in ("simple", "german"):
        async with searching(database, language=language) as searcher:
            results = await searcher.search(Search("Hafen", method="text"))
            found[language] = len(results.hits)
    assert found == {"simple": 1, "german": 2}
    async with searching(database, language="klingon") as searcher:
        with pytest.raises(ConfigError, match="klingon"):
            await searcher.search(Search("Hafen", method="text"))


async def test_a_database_that_is_gone_is_a_typed_error():
    async with open_pool("postgresql://nobody@127.0.0.1:9/none", timeout=0.1) as pool:
        with pytest.raises(StoreUnavailableError):
            await Searcher(pool, QueryEmbedder(Model())).search(Search("?", method="text"))
