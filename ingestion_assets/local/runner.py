"""The loaded model and its queue: requests are served first come, first served, on all cores."""

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.local.minilm import (
    CONTEXT,
    DIMENSIONS,
    SPECIAL_TOKENS,
    MiniLM,
    Tokens,
    cores,
    cut,
    micro_batches,
)

KEEP_ALIVE = 300.0  # seconds, Ollama's default


class InputTooLongError(ValueError):
    """A text is over the context, and must not or cannot be cut."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """What came of a request.

    Attributes:
        vectors: float32, shape (n, 384), rows of unit length in the order of the texts.
        tokens: tokens that went in, special ones included.
        loaded_at: when the model was there, by time.perf_counter_ns.
    """

    vectors: NDArray[np.float32]
    tokens: int
    loaded_at: int


@dataclass(frozen=True, slots=True)
class Options:
    """How a request wants the model.

    Attributes:
        context: tokens per text, the two special ones included.
        truncate: cut what is longer, instead of refusing it.
        keep_alive: seconds to stay loaded after the request; none leaves it as it is.
    """

    context: int = CONTEXT
    truncate: bool = True
    keep_alive: float | None = None


class Runner:
    """One model for all requests of an event loop, loaded when first needed."""

    def __init__(self) -> None:
        self.context = CONTEXT
        self.expires_at: datetime | None = None
        self._model: MiniLM | None = None
        self._turn = asyncio.Lock()  # wakes its waiters in the order in which they came
        self._threads = ThreadPoolExecutor(cores(), thread_name_prefix="embed")
        self._requests = 0
        self._keep_alive = KEEP_ALIVE
        self._unloading: asyncio.TimerHandle | None = None

    @property
    def loaded(self) -> bool:
        return self._model is not None

    async def load(self, options: Options) -> None:
        """Make sure that the model is in memory; a keep-alive of 0 puts it out again.

        Raises:
            LocalServiceError: the model's files are not there.
        """
        async with self._turn:
            await self._loaded(options)
        self._schedule_unload()

    async def embed(self, texts: Sequence[str], options: Options) -> Embedding:
        """Vectors of the texts; cancelling it takes those that have not begun out of the queue.

        Raises:
            InputTooLongError: the text is Ollama's.
            LocalServiceError: the model's files are not there.
        """
        self._requests += 1
        try:
            async with self._turn:  # so that requests enter the threads' queue in their order
                model = await self._loaded(options)
                loaded_at = time.perf_counter_ns()
                tokens = await asyncio.to_thread(model.tokenize, texts)
                tokens = [_fit(ids, options) for ids in tokens]
                batches = micro_batches(tokens)
                loop = asyncio.get_running_loop()
                running = [
                    loop.run_in_executor(self._threads, model.run, [tokens[i] for i in batch])
                    for batch in batches
                ]
            vectors = np.empty((len(tokens), DIMENSIONS), np.float32)
            for batch, part in zip(batches, await asyncio.gather(*running), strict=True):
                vectors[batch] = part
        finally:
            self._requests -= 1
            self._schedule_unload()
        return Embedding(vectors, sum(map(len, tokens)), loaded_at)

    async def _loaded(self, options: Options) -> MiniLM:
        if options.keep_alive is not None:
            self._keep_alive = options.keep_alive
        self.context = min(options.context, CONTEXT)
        if self._model is None:
            self._model = await asyncio.to_thread(MiniLM)
        return self._model

    def _schedule_unload(self) -> None:
        if self._unloading is not None:
            self._unloading.cancel()
            self._unloading = None
        self.expires_at = None
        if math.isfinite(self._keep_alive):
            self.expires_at = datetime.now(UTC) + timedelta(seconds=min(self._keep_alive, 1e9))
            loop = asyncio.get_running_loop()
            self._unloading = loop.call_later(self._keep_alive, self._unload)

    def _unload(self) -> None:
        if self._requests == 0:
            self._model = None
            self._keep_alive = KEEP_ALIVE


def _fit(tokens: Tokens, options: Options) -> Tokens:
    limit = min(options.context, CONTEXT)
    if len(tokens) <= limit:
        return tokens
    if not options.truncate:
        raise InputTooLongError("the input length exceeds the context length")
    if limit <= SPECIAL_TOKENS:
        raise InputTooLongError("input after truncation exceeds maximum context length")
    return cut(tokens, limit)
