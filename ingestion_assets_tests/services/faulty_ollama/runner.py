"""The model's runner: loads, computes so many texts at a time, first come first served."""

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ingestion_assets_tests.services.faulty_ollama.contract import Job, RefusedError
from ingestion_assets_tests.services.faulty_ollama.faults import BUSY
from ingestion_assets_tests.services.faulty_ollama.http import Request


@dataclass(slots=True)
class Config:
    """How the server behaves when nothing is wrong.

    Attributes:
        model: the embedding model it has, without tag.
        models: other embedding models it has, by name, and their dimensions.
        chat_model: a model that cannot embed.
        dimensions: a multiple of 16.
        context: tokens of the model, special ones included.
        slots: requests computed at once; a real Ollama has one.
        rtt_ms: added to every embedding request, outside of the slots.
        request_ms: of a slot, per request.
        text_ms: of a slot, per text.
        load_ms: until a cold model answers.
        max_queue: requests that may wait for a load.
        chat_words: what the chat model says to everything, a token each; "<broken>" ends it with
            an error.
        token_ms: until each of them is said.
        rules: faults, as in `faults.Rule`.
    """

    model: str = "all-minilm"
    models: dict[str, int] = field(default_factory=dict)
    chat_model: str = "llama3.2"
    dimensions: int = 384
    context: int = 256
    slots: int = 1
    rtt_ms: float = 0.0
    request_ms: float = 0.0
    text_ms: float = 0.0
    load_ms: float = 0.0
    max_queue: int = 512
    chat_words: list[str] = field(default_factory=lambda: ["It", " says", " so", " [1]", "."])
    token_ms: float = 0.0
    rules: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What the server saw since the last reset."""

    requests: Counter[str] = field(default_factory=Counter)
    texts_seen: int = 0
    texts_embedded: int = 0
    embedded: Counter[bytes] = field(default_factory=Counter)
    repeated: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    max_in_flight: int = 0
    computing: int = 0
    max_computing: int = 0
    connections: int = 0
    first_connection: float = 0.0
    last_connection: float = 0.0
    loads: int = 0
    tokens_spoken: int = 0
    chats: deque[list[dict[str, str]]] = field(default_factory=lambda: deque(maxlen=10))

    @contextmanager
    def under_way(self, texts: bool) -> Iterator[None]:
        """Count a request for vectors; one without texts only loads the model."""
        self.computing += texts
        self.max_computing = max(self.max_computing, self.computing)
        try:
            yield
        finally:
            self.computing -= texts


class Runner:
    """Time and state of the loaded model."""

    def __init__(self, config: Config, counts: Counts) -> None:
        self.dead = False
        self._config = config
        self._counts = counts
        self._loading = asyncio.Lock()
        self._loaded: tuple[int | None, int | None] | None = None
        self._waiting = 0
        self._permits = asyncio.Semaphore(config.slots)
        self._free_at = [0.0] * config.slots

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    @property
    def context(self) -> int:
        """The context of the loaded model, as a request may have narrowed it."""
        asked = self._loaded[0] if self._loaded else None
        return min(asked or self._config.context, self._config.context)

    def unload(self) -> None:
        self._loaded = None
        self.dead = False

    async def load(self, job: Job, request: Request) -> float:
        """Seconds waited for the model; other options than the loaded ones load it anew.

        A client that leaves during the load takes the load with it.
        """
        options = (job.num_ctx, job.num_batch)
        if self._loaded == options:
            return 0.0
        if self._waiting > self._config.max_queue:
            raise RefusedError(503, BUSY)
        started = asyncio.get_running_loop().time()
        self._waiting += 1
        try:
            async with self._loading:
                if self._loaded != options:
                    await request.nap(self._config.load_ms / 1e3)
                    self._counts.loads += 1
                    self._loaded = options
        finally:
            self._waiting -= 1
        return asyncio.get_running_loop().time() - started

    async def compute(self, n: int, request: Request) -> None:
        """Take as long as n texts take; waits for a slot first."""
        config = self._config
        if config.rtt_ms:
            await request.nap(config.rtt_ms / 1e3)
        cost = (config.request_ms + n * config.text_ms) / 1e3
        if not cost:
            return
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        async with self._permits:
            # From the planned end of the one before, so that late wake-ups do not add up.
            end = max(heapq.heappop(self._free_at), arrived) + cost
            try:
                await request.nap(end - loop.time())
            except BaseException:
                end = loop.time()
                raise
            finally:
                heapq.heappush(self._free_at, end)
