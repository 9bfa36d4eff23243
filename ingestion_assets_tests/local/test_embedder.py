"""The built-in embedder is an Ollama to every client that talks to it."""

import asyncio
import gc
import time

import httpx
import numpy as np
import ollama
import pytest
from langchain_ollama import OllamaEmbeddings

from ingestion_assets_tests.contract.ollama import CHECKS, Server, name

TEXTS = ["The sky is blue.", "PostgreSQL stores vectors with pgvector.", ""]


@pytest.mark.parametrize("check", CHECKS, ids=name)
def test_contract(check, embedder):
    check(Server(embedder))


@pytest.mark.parametrize("model", ["all-minilm:latest", "all-minilm:l6-v2", "all-minilm:22m"])
def test_the_model_answers_to_its_tags(embedder, model):
    assert Server(embedder, model).embed(input="a").json()["model"] == model


def test_the_larger_model_of_the_same_name_is_unknown(embedder):
    assert Server(embedder, "all-minilm:33m").embed(input="a").status_code == 404


def test_the_ollama_client_works(embedder):
    with ollama.Client(host=embedder) as client:
        answer = client.embed(model="all-minilm", input=TEXTS)
        names = [model.model for model in client.list().models]
        with pytest.raises(ollama.ResponseError, match="try pulling it first"):
            client.embed(model="nope", input="x")
        statuses = [step.status for step in client.pull("all-minilm", stream=True)]
    assert np.array(answer.embeddings).shape == (3, 384)
    assert names == ["all-minilm:latest"]
    assert statuses[-1] == "success"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_langchain_gets_the_same_vectors(embedder):
    vectors = OllamaEmbeddings(model="all-minilm", base_url=embedder).embed_documents(TEXTS)
    assert np.abs(np.array(vectors) - Server(embedder).vectors(input=TEXTS)).max() < 1e-5
    gc.collect()  # it never closes its connections; their warnings belong to this test


def test_half_a_surrogate_pair_is_replaced(embedder):
    server = Server(embedder)
    body = b'{"model":"all-minilm","input":"a \\ud800 b"}'
    broken = server.call("POST", "/api/embed", body).json()["embeddings"]
    assert broken == server.embed(input="a \ufffd b").json()["embeddings"]


def test_a_foreign_host_header_is_refused(embedder):
    response = httpx.get(f"{embedder}/api/version", headers={"Host": "rebound.example.com"})
    assert (response.status_code, response.content) == (403, b"")


async def test_health_answers_while_texts_are_embedded(embedder):
    async with httpx.AsyncClient(base_url=embedder, timeout=120) as client:
        work = asyncio.create_task(_embed(client, ["word " * 200] * 200))
        await asyncio.sleep(0.3)
        assert (await client.get("/api/version")).status_code == 200
        assert not work.done()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_requests_are_answered_in_the_order_they_came(embedder):
    answered: list[int] = []

    async def ask(number: int) -> None:
        await asyncio.sleep(number * 0.1)
        await _embed(client, ["word " * 200] * 24)
        answered.append(number)

    async with httpx.AsyncClient(base_url=embedder, timeout=120) as client:
        await asyncio.gather(ask(0), ask(1), ask(2))
    assert answered == [0, 1, 2]


async def test_a_client_that_hangs_up_frees_the_machine(embedder):
    async with httpx.AsyncClient(base_url=embedder, timeout=1.0) as client:
        with pytest.raises(httpx.ReadTimeout):
            await _embed(client, ["word " * 200] * 3000)  # a minute's work
    begun = time.monotonic()
    async with httpx.AsyncClient(base_url=embedder, timeout=30.0) as client:
        await _embed(client, ["a"])
    assert time.monotonic() - begun < 30


async def _embed(client: httpx.AsyncClient, texts: list[str]) -> None:
    response = await client.post("/api/embed", json={"model": "all-minilm", "input": texts})
    response.raise_for_status()
