"""One Ollama as questions use it: few at a time, each in time, with a breaker that learns."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.breaker import Breaker, BreakerState
from ingestion_assets.embedding.canary import CANARY
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.errors import (
    OllamaAnswerError,
    OllamaBusyError,
    OllamaError,
    OllamaTimeoutError,
)
from ingestion_assets.retrieval.sharing import Kind, Sharing

CANARY_PATIENCE = 60.0  # seconds; the canary may have to wait until the model is loaded


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server at one moment.

    Attributes:
        limit: requests that may be in flight at once.
        waiting: questions that wait for one of them to end.
    """

    url: str
    limit: int
    in_flight: int
    waiting: int
    breaker: BreakerState


class Server:
    """One Ollama with permits of its own, so a question waits for other questions only."""

    def __init__(self, ollama: Ollama, breaker: Breaker, *, workers: int, timeout: float) -> None:
        self.ollama = ollama
        self.breaker = breaker
        self._workers = workers
        self._timeout = timeout
        self._sharing = Sharing(self._send, permits=workers)
        self._digests: dict[str, str] = {}
        self._asking = asyncio.Lock()
        self._suspect = asyncio.Event()
        self._latest: tuple[str, Mapping[str, Any]] | None = None

    @property
    def load(self) -> int:
        """Requests in flight, and questions that wait for one."""
        return self._sharing.in_flight + self._sharing.waiting

    async def close(self) -> None:
        """Give up what is in flight, and close the client."""
        await self._sharing.close()
        await self.ollama.__aexit__(None, None, None)

    async def digest(self, model: str) -> str:
        """The digest of its model, asked for once after each time that it was down."""
        if model not in self._digests:
            async with self._judged(), self._asking:
                if model not in self._digests:
                    self._digests[model] = await self.ollama.digest(model)
        return self._digests[model]

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        options: Mapping[str, Any],
        *,
        truncate: bool,
        dimensions: int | None = None,
    ) -> Answer:
        """Vectors of a few short texts, or an error in time.

        Raises:
            OllamaError: typed; the breaker learns of it.
        """
        async with self._in_time():
            answer = await self._sharing.embed(Kind(model, options, truncate, dimensions), texts)
        if answer.dead:
            raise OllamaAnswerError(self.ollama.base_url, "a dead vector for a question")
        return answer

    async def _send(self, kind: Kind, texts: Sequence[str]) -> Answer:
        self._latest = kind.model, kind.options
        async with self._judged():
            answer = await self.ollama.embed(
                kind.model,
                texts,
                options=kind.options,
                truncate=kind.truncate,
                dimensions=kind.dimensions,
                patience=self._timeout,
            )
            if len(answer.dead) == len(texts):
                raise OllamaAnswerError(self.ollama.base_url, "nothing but dead vectors")
        return answer

    async def version(self, seconds: float) -> str | OllamaError:
        """The server's version, or why it has none to tell."""
        try:
            async with asyncio.timeout(seconds):
                return await self.ollama.version()
        except TimeoutError:
            return OllamaTimeoutError(self.ollama.base_url, f"no answer within {seconds:g} s")
        except OllamaError as error:
            return error

    def state(self) -> ServerState:
        """The figures at this moment."""
        return ServerState(
            self.ollama.base_url,
            self._workers,
            self._sharing.in_flight,
            self._sharing.waiting,
            self.breaker.state(),
        )

    async def keep(self) -> None:
        """Look after the server until cancelled: a canary where one is due."""
        while True:
            await self._suspect.wait()
            self._suspect.clear()
            while not self.breaker.closed:
                await asyncio.sleep(self.breaker.canary_in)
                if self.breaker.probe():
                    await self._probe()
            # A question that gave up has taken the load of a cold model with it; this one stays.
            await self._canary()

    async def _probe(self) -> None:
        error = await self._canary()
        if error is None:
            self._digests.clear()
            self.breaker.canary_succeeded()
        else:
            self.breaker.canary_failed(str(error))

    async def _canary(self) -> OllamaError | None:
        """Why a harmless text is not embedded; none if it is."""
        try:
            if self._latest is None:
                await self.ollama.version()
            else:
                model, options = self._latest
                await self.ollama.embed(model, [CANARY], options=options, patience=CANARY_PATIENCE)
        except OllamaError as error:
            return error
        return None

    @asynccontextmanager
    async def _judged(self) -> AsyncIterator[None]:
        """So many seconds, and a breaker that learns how it ends."""
        sent = time.monotonic()
        try:
            async with self._in_time():
                yield
        except OllamaBusyError:
            raise
        except OllamaError as error:
            if error.retryable:
                self.breaker.failed(str(error), sent=sent)
            if isinstance(error, OllamaTimeoutError) or not self.breaker.closed:
                self._suspect.set()
            raise
        self.breaker.succeeded()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as exc:
            raise OllamaTimeoutError(
                self.ollama.base_url,
                f"no vector within {self._timeout:g} s; raise INGEST_QUERY_TIMEOUT",
            ) from exc
