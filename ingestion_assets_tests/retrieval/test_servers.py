"""Questions reach a server that works, and learn at once when none does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ingestion_assets.embedding import Ollama
from ingestion_assets.embedding.breaker import Phase
from ingestion_assets.errors import (
    ContentError,
    ModelMismatchError,
    OllamaAnswerError,
    OllamaError,
    OllamaTimeoutError,
    OllamaUnavailableError,
)
from ingestion_assets.retrieval.servers import Servers
from ingestion_assets_tests.retrieval.given import until
from ingestion_assets_tests.services.faulty_ollama import running

MODEL = "all-minilm"
NOBODY = "http://127.0.0.1:9"


@asynccontextmanager
async def _servers(*hosts: str, **settings: Any) -> AsyncIterator[Servers]:
    async with Servers([Ollama(host) for host in hosts], **settings) as servers:
        yield servers


async def _fail(servers: Servers, times: int, text: str = "a") -> None:
    for _ in range(times):
        with pytest.raises(OllamaError):
            await servers.embed(MODEL, [text])


def _phases(servers: Servers) -> Sequence[Phase]:
    return [state.breaker.phase for state in servers.states()]


async def test_vector_is_the_servers(faulty_ollama):
    async with _servers(faulty_ollama.url) as servers:
        answer = await servers.embed(MODEL, ["whales"])
    assert (answer.matrix[0] == faulty_ollama.vector("whales")).all()


async def test_next_server_is_asked_where_one_is_down(faulty_ollama):
    async with _servers(NOBODY, faulty_ollama.url) as servers:
        assert await servers.digest(MODEL)
        assert len((await servers.embed(MODEL, ["a"])).matrix) == 1


async def test_breaker_opens_after_five_failures_and_then_nothing_is_sent(faulty_ollama):
    faulty_ollama.break_by({"fault": "F14"})
    async with _servers(faulty_ollama.url) as servers:
        await _fail(servers, 4)
        assert _phases(servers) == [Phase.CLOSED]
        await _fail(servers, 1)
        assert _phases(servers) == [Phase.OPEN]
        sent = faulty_ollama.stats()["requests"]["/api/embed"]
        with pytest.raises(OllamaUnavailableError, match="tried again by itself"):
            await servers.embed(MODEL, ["a"])
        assert faulty_ollama.stats()["requests"]["/api/embed"] == sent


async def test_breaker_closes_by_itself_when_the_server_is_back(faulty_ollama):
    faulty_ollama.break_by({"fault": "F14"})
    async with _servers(faulty_ollama.url, breaker_seconds=0.2) as servers:
        await _fail(servers, 5)
        await until(lambda: servers.states()[0].breaker.opened >= 2)  # a canary has failed too
        faulty_ollama.break_by()
        await until(lambda: _phases(servers) == [Phase.CLOSED])
        assert len((await servers.embed(MODEL, ["a"])).matrix) == 1


async def test_a_slow_server_is_not_waited_for_longer_than_said(faulty_ollama):
    faulty_ollama.break_by({"fault": "F18"})
    async with _servers(faulty_ollama.url, timeout=0.2) as servers:
        with pytest.raises(OllamaTimeoutError, match="INGEST_QUERY_TIMEOUT"):
            await servers.embed(MODEL, ["a"])
        await until(lambda: servers.states()[0].in_flight == 0)


async def test_a_cold_model_is_loaded_although_the_questions_give_up(faulty_ollama):
    faulty_ollama.reset(load_ms=600)
    async with _servers(faulty_ollama.url, timeout=0.2) as servers:
        await _fail(servers, 1)
        await until(lambda: faulty_ollama.stats()["loads"])
        assert len((await servers.embed(MODEL, ["a"])).matrix) == 1


async def test_only_so_many_questions_are_in_flight(faulty_ollama):
    faulty_ollama.reset(slots=8, request_ms=30)
    async with _servers(faulty_ollama.url, workers=2) as servers:
        await servers.embed(MODEL, ["warm"])
        await asyncio.gather(*(servers.embed(MODEL, [f"q{i}"]) for i in range(8)))
        assert servers.states()[0].in_flight == servers.states()[0].waiting == 0
    assert faulty_ollama.stats()["max_in_flight"] == 2


async def _together(servers: Servers, texts: Sequence[str]) -> list[Any]:
    """What texts give that all wait while another one is computed."""
    await servers.embed(MODEL, ["warm"])
    first = asyncio.create_task(servers.embed(MODEL, ["first"]))
    await until(lambda: servers.states()[0].in_flight)
    many = (servers.embed(MODEL, [text]) for text in texts)
    answers = await asyncio.gather(*many, return_exceptions=True)
    await first
    return answers


async def test_questions_that_wait_share_a_request_and_get_their_own_vectors(faulty_ollama):
    faulty_ollama.reset(request_ms=50)
    texts = [f"q{i}" for i in range(10)]
    async with _servers(faulty_ollama.url, workers=1) as servers:
        answers = await _together(servers, texts)
    for text, answer in zip(texts, answers, strict=True):
        assert (answer.matrix == [faulty_ollama.vector(text)]).all()
    assert faulty_ollama.stats()["requests"]["/api/embed"] == 4  # warm, first, eight, two


async def test_a_text_at_fault_fails_alone_in_a_shared_request(faulty_ollama):
    faulty_ollama.reset(request_ms=50)
    async with _servers(faulty_ollama.url, workers=1) as servers:
        good, long, other = await _together(servers, ["good", "word " * 400, "other"])
        assert isinstance(long, ContentError)
        for text, answer in (("good", good), ("other", other)):
            assert (answer.matrix == [faulty_ollama.vector(text)]).all()
        faulty_ollama.break_by({"fault": "F11", "match": "dead"})
        good, dead = await _together(servers, ["good", "dead"])
        assert isinstance(dead, OllamaAnswerError)
        assert (good.matrix == [faulty_ollama.vector("good")]).all()
        assert _phases(servers) == [Phase.CLOSED]


async def test_who_gives_up_waiting_takes_nobody_along(faulty_ollama):
    faulty_ollama.reset(request_ms=200)
    async with _servers(faulty_ollama.url, workers=1) as servers:
        await servers.embed(MODEL, ["warm"])
        asking = [asyncio.create_task(servers.embed(MODEL, [f"q{i}"])) for i in range(3)]
        await until(lambda: servers.states()[0].waiting == 2)
        asking[0].cancel()
        asking[1].cancel()
        answer = await asking[2]
        assert (answer.matrix == [faulty_ollama.vector("q2")]).all()
        assert servers.states()[0].in_flight == servers.states()[0].waiting == 0


async def test_requests_that_wait_when_all_is_closed_are_given_up(faulty_ollama):
    faulty_ollama.reset(request_ms=30_000)
    async with _servers(faulty_ollama.url, workers=1) as servers:
        asking = [asyncio.create_task(servers.embed(MODEL, [f"q{i}"])) for i in range(2)]
        await until(lambda: servers.states()[0].in_flight and servers.states()[0].waiting)
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)


async def test_a_busy_server_is_not_a_broken_one(faulty_ollama):
    faulty_ollama.break_by({"fault": "F13"})
    async with _servers(faulty_ollama.url) as servers:
        await _fail(servers, 7)
        assert _phases(servers) == [Phase.CLOSED]


async def test_dead_vectors_are_no_answer(faulty_ollama):
    faulty_ollama.break_by({"fault": "F11", "match": "a"})
    async with _servers(faulty_ollama.url) as servers:
        with pytest.raises(OllamaAnswerError):
            await servers.embed(MODEL, ["a"])


async def test_a_text_at_fault_is_not_passed_on(faulty_ollama):
    with running() as other:
        async with _servers(faulty_ollama.url, other.url) as servers:
            with pytest.raises(ContentError):
                await servers.embed(MODEL, ["word " * 400], truncate=False)
            seen = [double.stats()["texts_seen"] for double in (faulty_ollama, other)]
            assert sorted(seen) == [0, 1]
            answer = await servers.embed(MODEL, ["word " * 400], truncate=True)
            assert len(answer.matrix) == 1
            assert _phases(servers) == [Phase.CLOSED, Phase.CLOSED]


async def test_a_server_with_another_model_is_left_out(faulty_ollama):
    with running(dimensions=768) as other:
        async with _servers(faulty_ollama.url, other.url) as servers:
            await servers.digest(MODEL)
            many = await asyncio.gather(*(servers.embed(MODEL, [f"{i}"]) for i in range(8)))
            assert {answer.matrix.shape for answer in many} == {(1, 384)}
        faulty_ollama.break_by({"fault": "F14"})
        async with _servers(faulty_ollama.url, other.url) as servers:
            await servers.digest(MODEL)
            with pytest.raises(ModelMismatchError, match="pull it again"):
                await servers.embed(MODEL, ["a"])


async def test_versions_say_who_is_up(faulty_ollama):
    async with _servers(faulty_ollama.url, NOBODY) as servers:
        up, down = await servers.versions(5)
    assert up == "0.33.0"
    assert isinstance(down, OllamaUnavailableError)
