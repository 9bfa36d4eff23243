"""Instructions and a question in, the chat model's words out, as they come."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Self

import httpx
import orjson

from ingestion_assets.embedding.classify import Reply, Sent, classify
from ingestion_assets.embedding.connection import Connection
from ingestion_assets.embedding.host import parse_host
from ingestion_assets.errors import (
    ConfigError,
    ModelError,
    OllamaAnswerError,
    OllamaError,
    OllamaRequestError,
)

PATH = "/api/chat"
CONTEXT = 8_192  # tokens; the longest prompt, and the answer
LONGEST_ANSWER = 1_024  # tokens
CONNECTIONS = 4


class Chat:
    """A model that generates; the first server that begins to answer is listened to.

    Use it as an async context manager.

    Args:
        hosts: each as in OLLAMA_HOST.
        model: as Ollama names it; none means that questions cannot be answered.
        timeout: seconds without a word before an answer is given up.
        transport: stands in for the network.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        model: str | None,
        *,
        api_key: str | None = None,
        timeout: float = 300.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.in_flight = 0
        self._model = model
        self._connections = [
            Connection(
                parse_host(host),
                api_key=api_key,
                connections=CONNECTIONS,
                keepalive=0,
                timeout=timeout,
                transport=transport,
            )
            for host in hosts
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for connection in self._connections:
            await connection.__aexit__(*exc)

    async def stream(self, system: str, user: str) -> AsyncGenerator[str, None]:
        """The answer, piece by piece; leaving it stops the model.

        The model is given no tools, and nothing that it says is carried out.

        Raises:
            ConfigError: no model is set.
            ModelError: a server does not have the model, or it cannot chat.
            OllamaError: everything else that can go wrong, typed.

        Source: POST /api/chat, https://github.com/ollama/ollama/blob/main/docs/api.md
        """
        if self._model is None:
            raise ConfigError(
                "no model answers questions: set INGESTION_CHAT_MODEL to a chat model that your"
                " Ollama has (`ollama pull llama3.2`, say); the built-in embedder has none"
            )
        self.in_flight += 1
        try:
            async with aclosing(self._first_to_speak(self._model, system, user)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self.in_flight -= 1

    async def _first_to_speak(
        self, model: str, system: str, user: str
    ) -> AsyncGenerator[str, None]:
        content = _request(model, system, user)
        for last, connection in enumerate(self._connections, 1 - len(self._connections)):
            spoke = False
            try:
                async with aclosing(_pieces(connection, model, content)) as pieces:
                    async for piece in pieces:
                        spoke = True
                        yield piece
                return
            except OllamaError:
                if spoke or not last:
                    raise


async def _pieces(connection: Connection, model: str, content: bytes) -> AsyncGenerator[str, None]:
    sent = Sent(connection.base_url, PATH, model)
    try:
        async with aclosing(connection.lines(sent, content)) as lines:
            async for line in lines:
                said = _parsed(line, sent)
                piece = str((said.get("message") or {}).get("content") or "")
                if piece:
                    yield piece
                if said.get("done"):
                    return
    except (ModelError, OllamaRequestError) as exc:
        raise _unfit(sent, exc) from exc
    raise OllamaAnswerError(sent.endpoint, f"the answer of {model!r} broke off")


def _parsed(line: str, sent: Sent) -> dict[str, Any]:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise OllamaAnswerError(sent.endpoint, f"{PATH} sent no JSON: {line[:80]!r}") from exc
    if not isinstance(said, dict) or not isinstance(said.get("message", {}), dict):
        raise OllamaAnswerError(sent.endpoint, f"{PATH} sent no message: {line[:80]!r}")
    if "error" in said:
        raise classify(Reply(500, {}, line.encode(), datetime.now(UTC)), sent)
    return said


def _unfit(sent: Sent, exc: OllamaError) -> ModelError:
    return ModelError(
        sent.endpoint,
        sent.model,
        f"{sent.model!r} does not answer questions there; set INGESTION_CHAT_MODEL to a chat model"
        f" that this server has (`ollama pull llama3.2`, say). It said: {exc}",
    )


def _request(model: str, system: str, user: str) -> bytes:
    return orjson.dumps(
        {
            "model": model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": user},
            ],
            "stream": True,
            "think": False,
            "truncate": False,  # a prompt over the context is refused, not cut at its rules
            "options": {"num_ctx": CONTEXT, "num_predict": LONGEST_ANSWER, "temperature": 0},
        }
    )
