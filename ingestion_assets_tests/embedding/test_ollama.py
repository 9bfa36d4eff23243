import asyncio
import gc
import logging
from collections.abc import Callable
from dataclasses import replace

import httpx
import numpy as np
import orjson
import pytest

from ingestion_assets.embedding.canary import CANARY
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.errors import (
    ConfigError,
    ModelError,
    OllamaAnswerError,
    OllamaAuthError,
    OllamaError,
    OllamaRequestError,
    OllamaUnavailableError,
    PoisonTextError,
)
from ingestion_assets_tests.services.faulty_ollama import Double

SERVED: dict[str, dict[str, object]] = {
    "/api/version": {"version": "0.33.0"},
    "/api/show": {"capabilities": ["embedding"]},
    "/api/tags": {"models": [{"name": "m:latest", "digest": "0"}]},
}
Answer = Callable[[httpx.Request], httpx.Response]


def answering(answer: Answer, **options: str) -> Ollama:
    return Ollama("127.0.0.1:1", transport=httpx.MockTransport(answer), **options)  # type: ignore[arg-type]


async def test_vectors_are_those_of_the_texts(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        answer = await ollama.embed("all-minilm", ["one", "two"])
    assert np.array_equal(answer.matrix, [faulty_ollama.vector(t) for t in ("one", "two")])
    assert answer.tokens == 6
    assert (ollama.stats.requests, ollama.stats.texts, ollama.stats.tokens) == (1, 2, 6)


async def test_an_answer_lives_no_longer_than_it_is_used(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        await ollama.embed("all-minilm", ["one"])
        gc.collect()
        gc.disable()
        try:
            for n in range(10):
                await ollama.embed("all-minilm", [f"text {n}"])
            assert gc.collect() == 0
        finally:
            gc.enable()


async def test_identity_is_what_the_server_says_of_the_model(faulty_ollama: Double) -> None:
    faulty_ollama.reset(model="nomic-embed-text", dimensions=768, context=8192)
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("nomic-embed-text")
    assert (flight.dimensions, flight.context) == (768, 2048)
    assert flight.options == {"num_ctx": 2048, "num_batch": 2048}
    assert flight.server_version == "0.33.0"
    assert len(flight.digest) == 64


async def test_proving_loads_the_model_once(faulty_ollama: Double) -> None:
    faulty_ollama.reset(load_ms=50)
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        await ollama.prove(flight)
        answer = await ollama.embed("all-minilm", ["x"], options=flight.options)
    assert faulty_ollama.stats()["loads"] == 1
    assert answer.load_seconds < 0.05


@pytest.mark.parametrize(
    ("model", "remedy"), [("llama3.2", "INGESTION_MODEL"), ("absent", "ollama pull absent")]
)
async def test_identify_refuses_a_model_before_loading_it(
    faulty_ollama: Double, model: str, remedy: str
) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        with pytest.raises(ModelError, match=remedy):
            await ollama.identify(model)
    assert faulty_ollama.stats()["loads"] == 0


async def test_proving_notices_reordered_vectors(faulty_ollama: Double) -> None:
    faulty_ollama.break_by({"fault": "F21"})
    async with Ollama(faulty_ollama.url) as ollama:
        with pytest.raises(OllamaAnswerError, match="mixes vectors up"):
            await ollama.prove(await ollama.identify("all-minilm"))


@pytest.mark.parametrize(
    "listed", [[[1.0, 0.0]] * 3, [[0.0, 1.0]] * 3, [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]]
)
async def test_proving_compares_a_text_alone_and_in_a_list(listed: list[list[float]]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        n = len(orjson.loads(request.content or b"{}").get("input", ()))
        rows = {0: [], 1: [[1.0, 0.0]], 3: listed}[n]
        return httpx.Response(200, json=SERVED.get(request.url.path) or {"embeddings": rows})

    async with answering(answer) as ollama:
        with pytest.raises(OllamaAnswerError, match="mixes vectors up"):
            await ollama.prove(await ollama.identify("m"))


async def test_proving_notices_dead_vectors(faulty_ollama: Double) -> None:
    faulty_ollama.break_by({"fault": "F11", "match": CANARY})
    async with Ollama(faulty_ollama.url) as ollama:
        with pytest.raises(OllamaAnswerError, match="`ollama stop all-minilm`"):
            await ollama.prove(await ollama.identify("all-minilm"))


async def test_the_token_is_sent_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(401, json={"error": "unauthorized"})

    caplog.set_level(logging.DEBUG)
    async with answering(refuse, api_key="hunter2") as ollama:
        with pytest.raises(OllamaAuthError) as caught:
            await ollama.embed("m", ["x"])
    assert seen == ["Bearer hunter2"]
    assert "hunter2" not in repr(ollama) + repr(vars(ollama)) + str(caught.value) + caplog.text


async def test_without_a_token_no_authorization_is_sent() -> None:
    def check(request: httpx.Request) -> httpx.Response:
        assert "Authorization" not in request.headers
        return httpx.Response(200, json={"version": "1"})

    async with answering(check, api_key=" ") as ollama:
        assert await ollama.version() == "1"


def test_a_token_that_no_header_can_carry_is_refused_unseen() -> None:
    with pytest.raises(ConfigError, match="OLLAMA_API_KEY") as caught:
        Ollama(api_key="hunter2\r\nX-Evil: 1")
    assert "hunter2" not in str(caught.value)


async def test_redirects_are_not_followed() -> None:
    elsewhere = httpx.Response(302, headers={"Location": "https://else.where/"})
    async with answering(lambda _: elsewhere) as ollama:
        with pytest.raises(OllamaRequestError, match=r"else\.where"):
            await ollama.embed("m", ["x"])


async def test_a_text_that_is_no_unicode_is_a_content_error() -> None:
    async with Ollama("127.0.0.1:1") as ollama:
        with pytest.raises(PoisonTextError, match="surrogates"):
            await ollama.embed("m", ["good", "bad \ud800"])


async def test_answers_that_are_no_objects_are_typed() -> None:
    for content in (b"<html>", b"[]"):
        async with answering(lambda _, c=content: httpx.Response(200, content=c)) as ollama:  # type: ignore[misc]
            with pytest.raises(OllamaAnswerError):
                await ollama.version()


async def test_no_answer_is_a_typed_error(faulty_ollama: Double) -> None:
    faulty_ollama.break_by({"fault": "F18"})
    async with Ollama(faulty_ollama.url, timeout=0.2) as ollama:
        assert await ollama.version() == "0.33.0"
        with pytest.raises(OllamaUnavailableError, match="ReadTimeout"):
            await ollama.embed("all-minilm", ["x"])


async def test_nobody_listening_is_a_typed_error_with_a_remedy() -> None:
    async with Ollama("127.0.0.1:9") as ollama:
        with pytest.raises(OllamaUnavailableError, match="`ollama serve`") as caught:
            await ollama.version()
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


@pytest.mark.parametrize("variant", ["", "chunked"])
async def test_a_cut_answer_is_a_typed_error(faulty_ollama: Double, variant: str) -> None:
    faulty_ollama.break_by({"fault": "F3", "variant": variant})
    async with Ollama(faulty_ollama.url) as ollama:
        with pytest.raises(OllamaUnavailableError, match="connection lost"):
            await ollama.embed("all-minilm", ["x"])
    assert ollama.stats.retries == 0


async def test_a_stale_connection_is_retried_at_once_on_a_new_one(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        await asyncio.gather(*(ollama.embed("all-minilm", ["x"]) for _ in range(3)))
        kept = faulty_ollama.stats()["connections"]
        faulty_ollama.break_by({"fault": "F2", "times": 1})
        await ollama.embed("all-minilm", ["x"])
    assert ollama.stats.retries == 1
    assert faulty_ollama.stats()["connections"] == kept + 1


async def test_a_connection_lost_on_a_new_one_is_an_error(faulty_ollama: Double) -> None:
    faulty_ollama.break_by({"fault": "F2", "times": 1})
    async with Ollama(faulty_ollama.url) as ollama:
        with pytest.raises(OllamaError, match="connection lost"):
            await ollama.embed("all-minilm", ["x"])


async def test_connections_are_reused(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        for _ in range(20):
            await ollama.embed("all-minilm", ["x"])
    assert faulty_ollama.stats()["connections"] == 1


async def test_identify_sends_no_text(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        await ollama.identify("all-minilm")
    assert faulty_ollama.stats()["texts_seen"] == 0


async def test_proving_refuses_other_dimensions_than_listed(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        identity = replace(await ollama.identify("all-minilm"), dimensions=768)
        with pytest.raises(OllamaAnswerError, match="384 dimensions where the server lists 768"):
            await ollama.prove(identity)


async def test_a_server_that_drips_is_given_up(faulty_ollama: Double) -> None:
    faulty_ollama.break_by({"fault": "F5", "seconds": 5})
    async with Ollama(faulty_ollama.url) as ollama:
        with pytest.raises(OllamaUnavailableError, match="in time"):
            await ollama.embed("all-minilm", ["x"], patience=0.6)  # a byte comes every 0.5 s


async def test_unloading_waits_until_the_model_is_gone(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        flight = await ollama.identify("all-minilm")
        await ollama.prove(flight)
        await ollama.unload("all-minilm", options=flight.options)
        assert faulty_ollama.stats()["requests"]["/api/ps"] == 1
        await ollama.preload("all-minilm", options=flight.options)
    assert faulty_ollama.stats()["loads"] == 2
