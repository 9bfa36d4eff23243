"""A question is embedded once, by the generation's own model and prefix."""

import asyncio
from dataclasses import replace

import pytest

from ingestion_assets.embedding import Ollama
from ingestion_assets.errors import ModelMismatchError, OllamaAnswerError, OllamaUnavailableError
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.store.generations import Generation
from ingestion_assets_tests.retrieval.stored import Model

GENERATION = Generation(1, "m", "sha", 4, "vector", "", "query: ", {}, "active")


async def test_the_generations_prefix_stands_before_the_question():
    model = Model()
    question = await QueryEmbedder(model).embed(GENERATION, "why?")
    assert model.asked == ["query: why?"]
    assert question.vector.tolist() == model.vector("query: why?").tolist()
    assert not question.cut


async def test_a_question_asked_before_is_not_embedded_again():
    model = Model()
    embedder = QueryEmbedder(model, cached=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await embedder.embed(GENERATION, text)
    assert model.asked == [f"query: {text}" for text in "abcb"]
    await embedder.embed(replace(GENERATION, generation_id=2), "b")
    assert len(model.asked) == 5
    assert model.digests == 2


async def test_a_question_asked_by_many_at_once_is_embedded_once():
    model = Model()
    embedder = QueryEmbedder(model)
    answers = await asyncio.gather(*(embedder.embed(GENERATION, "a") for _ in range(20)))
    assert (len(model.asked), model.digests) == (1, 1)
    assert all(answer is answers[0] for answer in answers)


async def test_who_leaves_first_does_not_take_the_others_with_him():
    model = Model()
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        arrived.set()
        await leave.wait()

    model.before = wait
    embedder = QueryEmbedder(model)
    first = asyncio.create_task(embedder.embed(GENERATION, "a"))
    await arrived.wait()
    second = asyncio.create_task(embedder.embed(GENERATION, "a"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    leave.set()
    assert (await second).vector.shape == (4,)
    assert first.cancelled()


async def test_a_failure_is_told_to_all_and_not_kept():
    model = Model()
    model.down = True
    embedder = QueryEmbedder(model)
    failures = await asyncio.gather(
        *(embedder.embed(GENERATION, "a") for _ in range(3)), return_exceptions=True
    )
    assert [type(failure) for failure in failures] == [OllamaUnavailableError] * 3
    model.down = False
    assert (await embedder.embed(GENERATION, "a")).vector.shape == (4,)


async def test_another_model_of_that_name_is_refused():
    model = Model()
    other = replace(GENERATION, digest="another")
    with pytest.raises(ModelMismatchError, match="made with another"):
        await QueryEmbedder(model).embed(other, "a")
    assert model.asked == []


async def test_a_vector_of_another_length_is_refused():
    with pytest.raises(OllamaAnswerError, match="3 dimensions where 4"):
        await QueryEmbedder(Model(3)).embed(GENERATION, "a")


async def test_a_question_over_the_models_context_is_cut_and_that_is_known(faulty_ollama):
    async with Ollama(faulty_ollama.url) as ollama:
        digest = await ollama.digest("all-minilm")
        generation = replace(
            GENERATION, model="all-minilm", digest=digest, dimensions=384, query_prefix=""
        )
        embedder = QueryEmbedder(ollama)
        assert not (await embedder.embed(generation, "short")).cut
        assert (await embedder.embed(generation, "word " * 300)).cut
