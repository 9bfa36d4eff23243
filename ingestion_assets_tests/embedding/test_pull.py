import logging
from collections.abc import AsyncIterator

import orjson
import pytest

from ingestion_assets.embedding.classify import Sent
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.pull import follow
from ingestion_assets.errors import ModelError
from ingestion_assets_tests.services.faulty_ollama import Double

SENT = Sent("http://gpu1:11434", "/api/pull", "bge-m3")


async def lines(*said: object) -> AsyncIterator[str]:
    for line in said:
        yield line if isinstance(line, str) else orjson.dumps(line).decode()


async def test_a_pull_ends_with_success() -> None:
    await follow(lines({"status": "pulling manifest"}, {"status": "success"}, ""), SENT)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([{"error": "file does not exist"}], "file does not exist"),
        ([{"status": "success"}, {"error": "disk full"}], "disk full"),
        ([{"status": "writing manifest"}], "broke off at 'writing manifest'"),
        ([], "broke off"),
        (["<html>"], "no JSON: '<html>'"),
        (["[]"], "no object"),
    ],
)
async def test_anything_else_is_a_failure(said: list[object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        await follow(lines(*said), SENT)


async def test_progress_is_logged_in_tenths(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    layer = {"status": "pulling 797b", "total": 1000}
    steps = [layer | {"completed": n} for n in range(1001)]
    await follow(lines(layer, *steps, {"status": "success"}), SENT)
    assert "Pulling 'bge-m3' at http://gpu1:11434: pulling 797b, 50 %" in caplog.text
    assert 10 <= len(caplog.records) <= 13


async def test_a_server_pulls_and_says_what_fails(faulty_ollama: Double) -> None:
    async with Ollama(faulty_ollama.url) as ollama:
        await ollama.pull("all-minilm")
        with pytest.raises(ModelError, match="file does not exist"):
            await ollama.pull("absent")
        faulty_ollama.break_by({"fault": "F22", "path": "/api/pull", "variant": "cut"})
        with pytest.raises(ModelError, match="broke off"):
            await ollama.pull("all-minilm")
