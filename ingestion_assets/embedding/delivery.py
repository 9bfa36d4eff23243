"""A batch in; vectors of its good texts and reasons for its bad ones out."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.changes import Text
from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.ollama import CANARY, Identity, Ollama
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.errors import (
    ContentError,
    OllamaBusyError,
    OllamaError,
    OllamaUnavailableError,
    PoisonTextError,
    RequestTooLargeError,
    TextTooLongError,
)

FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 30.0
BUSY_PATIENCE = 600.0  # seconds that a batch waits for a server that says it is busy


@dataclass(frozen=True, slots=True)
class Embedded:
    """n texts and their vectors: float32, shape (n, d), in the same order."""

    texts: Sequence[Text]
    matrix: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text that cannot be embedded, and why; its neighbours were."""

    text: Text
    error: ContentError


@dataclass(frozen=True, slots=True)
class Backoff:
    """How to wait between attempts: exponential, with full jitter.

    Attributes:
        sleep: waits for seconds.
        random: a number from 0 to 1.
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def pause(self, failures: int, error: OllamaError) -> float:
        """Seconds to wait after so many failures, the last of which is given."""
        jittered = self.random() * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
        if isinstance(error, OllamaBusyError):
            return max(error.retry_after or 1.0, jittered)
        return jittered


class Delivery:
    """Sends batches: repeats what failed in passing, bisects what fails for its content."""

    def __init__(
        self,
        ollama: Ollama,
        model: Identity,
        permits: AbstractAsyncContextManager[None],
        *,
        retries: int,
        backoff: Backoff,
        stats: Stats,
    ) -> None:
        self._ollama = ollama
        self._model = model
        self._permits = permits
        self._retries = retries
        self._backoff = backoff
        self._stats = stats

    async def embed(self, batch: Sequence[Text]) -> AsyncIterator[Embedded | Rejected]:
        """Every text of the batch once, as part of an Embedded or as a Rejected.

        Raises:
            OllamaError: the server, not a text, is at fault; what was not yet yielded is not
                embedded.
        """
        left = [batch]
        while left:
            texts = left.pop()
            try:
                answer = await self._request(texts)
            except OllamaError as error:
                await self._suspect_texts(error)
                if len(texts) == 1:
                    yield await self._judge(texts[0], error)
                else:
                    half = len(texts) // 2
                    left += [texts[half:], texts[:half]]
            else:
                yield _alive(texts, answer)
                if answer.dead:
                    left.append([texts[i] for i in answer.dead])

    async def _suspect_texts(self, error: OllamaError) -> None:
        """Raise the error unless the texts may be to blame for it.

        They may also when a request fails again and again while a harmless one passes.
        """
        if isinstance(error, ContentError):
            return
        if not error.retryable:
            raise error
        await self._send_canary(error)

    async def _judge(self, text: Text, error: OllamaError) -> Embedded | Rejected:
        """The verdict on a text that failed alone: it fails again right after a harmless one."""
        if isinstance(error, TextTooLongError | RequestTooLargeError):
            return Rejected(text, error)
        await self._send_canary(error)
        try:
            answer = await self._request([text])
        except ContentError as again:
            return Rejected(text, again)
        except OllamaError as again:
            if not again.retryable:
                raise
            blame = PoisonTextError(again.endpoint, f"fails while other texts pass: {again}")
            return Rejected(text, blame)
        return _alive([text], answer)

    async def _send_canary(self, cause: OllamaError) -> None:
        try:
            async with self._permits:
                await self._attempt([CANARY])
        except ContentError as exc:
            raise OllamaUnavailableError(
                exc.endpoint,
                f"{self._model.model!r} fails on a harmless text too; unload it with"
                f" `ollama stop {self._model.model}`",
            ) from cause

    async def _request(self, texts: Sequence[Text]) -> Answer:
        """Send texts until they are answered; permits are free for others between attempts."""
        tries, failures, waited = 0, 0, 0.0
        while True:
            try:
                async with self._permits:
                    return await self._attempt([text.text for text in texts])
            except OllamaError as error:
                tries += 1
                failures += not isinstance(error, OllamaBusyError)
                if not error.retryable or failures > self._retries or waited > BUSY_PATIENCE:
                    raise
                pause = self._backoff.pause(tries, error)
            waited += pause
            self._stats.retries += 1
            await self._backoff.sleep(pause)

    async def _attempt(self, texts: Sequence[str]) -> Answer:
        model = self._model
        with self._stats.request(len(texts)):
            answer = await self._ollama.embed(
                model.model, texts, options=model.options, dimensions=model.dimensions
            )
        self._stats.tokens += answer.tokens
        if len(answer.dead) == len(texts):
            raise PoisonTextError(self._ollama.base_url, "a vector of zeros, NaN or infinity")
        return answer


def _alive(texts: Sequence[Text], answer: Answer) -> Embedded:
    if not answer.dead:
        return Embedded(texts, answer.matrix)
    dead = set(answer.dead)
    kept = [text for i, text in enumerate(texts) if i not in dead]
    return Embedded(kept, np.delete(answer.matrix, answer.dead, axis=0))
