"""What Ollama's /api/chat does: a body in, words one by one out, until the client leaves."""

from typing import Any

import orjson

from ingestion_assets_tests.services.faulty_ollama.contract import RefusedError
from ingestion_assets_tests.services.faulty_ollama.http import Request
from ingestion_assets_tests.services.faulty_ollama.runner import Config, Counts

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def parse(body: bytes, config: Config) -> dict[str, Any]:
    """A checked request, or the error that Ollama answers."""
    asked: dict[str, Any] = orjson.loads(body)
    model = str(asked.get("model", "")).removesuffix(":latest")
    if model == config.model:
        raise RefusedError(400, f'"{asked["model"]}" does not support chat')
    if model != config.chat_model:
        raise RefusedError(404, f"model '{asked.get('model')}' not found")
    return asked


async def speak(asked: dict[str, Any], request: Request, config: Config, counts: Counts) -> None:
    """Stream the configured words, and count those that the client stayed for."""
    counts.chats.append(asked["messages"])
    request.writer.write(_HEAD)
    for word in config.chat_words:
        await request.nap(config.token_ms / 1e3)
        if word == "<broken>":
            _write(request, {"error": "llama runner process has terminated: signal: killed"})
            break
        _write(request, _line(asked, word, done=False))
        await request.writer.drain()
        counts.tokens_spoken += 1
    else:
        _write(request, _line(asked, "", done=True) | {"done_reason": "stop"})
    request.writer.write(b"0\r\n\r\n")


def _line(asked: dict[str, Any], word: str, *, done: bool) -> dict[str, Any]:
    message = {"role": "assistant", "content": word}
    return {"model": asked["model"], "message": message, "done": done}


def _write(request: Request, line: dict[str, Any]) -> None:
    body = orjson.dumps(line) + b"\n"
    request.writer.write(b"%x\r\n%s\r\n" % (len(body), body))
