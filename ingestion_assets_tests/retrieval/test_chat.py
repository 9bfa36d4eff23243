"""The chat model's words as they come, and typed errors for everything else."""

from contextlib import aclosing

import httpx
import pytest

from ingestion_assets.errors import (
    ConfigError,
    ModelError,
    OllamaAnswerError,
    OllamaBusyError,
    OllamaError,
    OllamaUnavailableError,
)
from ingestion_assets.retrieval.chat import Chat
from ingestion_assets_tests.retrieval.given import until

MODEL = "llama3.2"
NOBODY = "http://127.0.0.1:9"


async def _said(chat: Chat) -> list[str]:
    async with chat, aclosing(chat.stream("rules", "question")) as pieces:
        return [piece async for piece in pieces]


async def test_words_come_one_by_one(faulty_ollama):
    assert await _said(Chat([faulty_ollama.url], MODEL)) == ["It", " says", " so", " [1]", "."]
    (messages,) = faulty_ollama.stats()["chats"]
    assert [message["role"] for message in messages] == ["system", "user"]


async def test_leaving_stops_the_model(faulty_ollama):
    faulty_ollama.reset(chat_words=["x"] * 1000, token_ms=5)
    async with Chat([faulty_ollama.url], MODEL) as chat:
        async with aclosing(chat.stream("rules", "question")) as pieces:
            assert await anext(pieces) == "x"
            assert chat.in_flight == 1
        assert chat.in_flight == 0
        await until(lambda: not faulty_ollama.stats()["in_flight"])
    assert faulty_ollama.stats()["tokens_spoken"] < 900


async def test_no_model_names_the_setting():
    with pytest.raises(ConfigError, match="INGESTION_CHAT_MODEL"):
        await _said(Chat([NOBODY], None))


@pytest.mark.parametrize("model", ["nobody", "all-minilm"])
async def test_missing_and_embedding_models_name_the_setting(faulty_ollama, model):
    with pytest.raises(ModelError, match="set INGESTION_CHAT_MODEL"):
        await _said(Chat([faulty_ollama.url], model))


async def test_builtin_embedder_names_the_setting(embedder):
    with pytest.raises(ModelError, match="set INGESTION_CHAT_MODEL"):
        await _said(Chat([embedder], MODEL))


async def test_next_server_answers_for_one_that_is_down(faulty_ollama):
    assert len(await _said(Chat([NOBODY, faulty_ollama.url], MODEL))) == 5


async def test_all_servers_down_is_said():
    with pytest.raises(OllamaUnavailableError):
        await _said(Chat([NOBODY, NOBODY], MODEL))


async def test_no_other_server_goes_on_with_half_an_answer(faulty_ollama):
    faulty_ollama.reset(chat_words=["half", "<broken>"])
    chat = Chat([faulty_ollama.url, faulty_ollama.url], MODEL)
    async with chat, aclosing(chat.stream("rules", "question")) as pieces:
        assert await anext(pieces) == "half"
        with pytest.raises(OllamaUnavailableError):
            await anext(pieces)
    assert len(faulty_ollama.stats()["chats"]) == 1


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"fault": "F2"}, OllamaUnavailableError),
        ({"fault": "F13"}, OllamaBusyError),
        ({"fault": "F14"}, OllamaUnavailableError),
        ({"fault": "F15"}, OllamaError),
        ({"fault": "F19"}, OllamaAnswerError),
    ],
)
async def test_faults_are_typed(faulty_ollama, rule, error):
    faulty_ollama.break_by({**rule, "path": "/api/chat"})
    with pytest.raises(error):
        await _said(Chat([faulty_ollama.url], MODEL))


@pytest.mark.parametrize(
    "body",
    [b"", b"not json\n", b"[]\n", b'{"message": "text"}\n', b'{"message": {"content": "x"}}\n'],
)
async def test_broken_answers_are_typed(body):
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    with pytest.raises(OllamaAnswerError):
        await _said(Chat([NOBODY], MODEL, transport=transport))


def test_token_is_not_in_the_repr():
    assert "secret" not in repr(Chat([NOBODY], MODEL, api_key="secret"))
