"""One server of the pool: its client, its limiter, its breaker, and how long it is waited for."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.breaker import Breaker, BreakerState
from ingestion_assets.embedding.limiter import Congestion, Limiter, LimiterState
from ingestion_assets.embedding.ollama import CANARY, Identity, Ollama
from ingestion_assets.errors import (
    OllamaBusyError,
    OllamaError,
    OllamaTimeoutError,
    RateLimitedError,
    RunnerUnreachableError,
)

SHORTEST_PATIENCE = 30.0  # seconds
LONGEST_PATIENCE = 600.0
SLACK = 4  # times what an answer is expected to take
SMOOTHING = 0.2  # weight of the latest request in the pace

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndpointState:
    """One server's part in a run, at one moment.

    Attributes:
        requests: embedding requests sent to it.
        rate_limit_hits: of these, answered with 429 or 503.
        refused: why it is out of use for good; empty if it is not.
    """

    url: str
    requests: int
    texts: int
    rate_limit_hits: int
    refused: str
    limiter: LimiterState
    breaker: BreakerState


class Endpoint:
    """A server that is sent one request per permit of its limiter while its breaker is closed.

    Attributes:
        refused: why it is out of use for good; none if it is not.
        reloads: how often its model was unloaded for giving dead vectors.
        reloads_help: whether that cured any; false after it was in vain.
        ejected: set while something has to bring it back.
    """

    def __init__(self, ollama: Ollama, limiter: Limiter, breaker: Breaker) -> None:
        self.ollama = ollama
        self.breaker = breaker
        self.refused: OllamaError | None = None
        self.reloads = 0
        self.reloads_help = True
        self.ejected = asyncio.Event()
        self._limiter = limiter
        self._reloading = asyncio.Lock()
        self._outstanding = 0  # texts
        self._pace = 0.0  # seconds a text, all requests in flight taken together; 0 if unknown
        self._stretch = 1.0
        self._rate_limit_hits = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return self.ollama.base_url

    @property
    def available(self) -> bool:
        """Whether it is in use at all."""
        return self.refused is None and self.breaker.closed

    @property
    def has_room(self) -> bool:
        """Whether it may be sent a request now."""
        # Another request would load the model at once that is waited for to be unloaded.
        return self.available and not self._reloading.locked() and self._limiter.has_room()

    @property
    def pace(self) -> float:
        """Seconds it takes for a text; 0 before the first answer."""
        return self._pace

    @property
    def resumes_at(self) -> float | None:
        """When a pause that it asked for ends, by the clock of `time.monotonic`."""
        return self._limiter.resumes_at()

    def work(self, texts: int) -> int:
        """Texts it would have to do if it were given so many more."""
        return self._outstanding + texts

    def take(self, texts: int) -> None:
        """Take a permit; the next `embed` gives it back."""
        self._limiter.take()
        self._outstanding += texts

    async def embed(self, model: Identity, texts: Sequence[str]) -> Answer:
        """Embed on the permit taken; limiter and breaker learn how it ends.

        Raises:
            OllamaError: as the client raises it.
        """
        started = time.monotonic()
        with self._permit(len(texts), started):
            answer = await self._ask(model, texts)
            seconds = time.monotonic() - started
            self._observe(len(texts), seconds)
            self._limiter.succeeded(len(texts), seconds)
        if len(answer.dead) > 1:  # one may be the text's own fault
            self.breaker.failed(f"{len(answer.dead)} dead vectors in one answer")
        elif not answer.dead:
            self.breaker.succeeded()
        return answer

    async def passes_canary(self, model: Identity) -> bool:
        """Whether a harmless text is embedded right now; false for a server out of use."""
        if not self.available:
            return False
        try:
            answer = await self._ask(model, [CANARY])
        except OllamaError as error:
            if not isinstance(error, OllamaBusyError):
                self.breaker.failed(str(error))
            return False
        if answer.dead:
            self.breaker.failed("a dead vector for a harmless text")
            return False
        self.breaker.succeeded()
        return True

    async def reload(self, model: Identity, seen: int) -> bool:
        """Have the model loaded afresh, unless that was done since; whether it then is sound.

        A runner can get into a state in which its vectors are dead until it is unloaded.

        Args:
            seen: `reloads` when the request with the dead vectors was sent.
        """
        async with self._reloading:
            if self.reloads > seen:
                return self.available
            if not self.reloads_help and await self.passes_canary(model):
                return True  # then it is the texts, and a reload costs everyone its time
            self.reloads += 1
            logger.warning("Reloading %r at %s: it gives dead vectors", model.model, self.url)
            try:
                await self.ollama.unload(model.model, options=model.options)
                await self.ollama.prove(model)
            except OllamaError as error:
                self.breaker.trip(f"dead vectors, and the reload failed: {error}")
                return False
            self.breaker.succeeded()
            return self.available

    def state(self) -> EndpointState:
        """What became of it so far."""
        stats = self.ollama.stats
        return EndpointState(
            self.url,
            stats.requests,
            stats.texts,
            self._rate_limit_hits,
            str(self.refused or ""),
            self._limiter.state(),
            self.breaker.state(),
        )

    @contextmanager
    def _permit(self, texts: int, started: float) -> Iterator[None]:
        """Give the permit back as the failure demands; success gives it back itself."""
        stretch = self._stretch
        try:
            yield
        except OllamaBusyError as error:
            self._rate_limit_hits += 1
            limited = isinstance(error, RateLimitedError)
            cause = Congestion.RATE_LIMITED if limited else Congestion.BUSY
            self._limiter.congested(cause, error.retry_after)
            raise
        except OllamaTimeoutError as error:
            # Of requests that were in flight together, all time out: that is one lesson.
            self._stretch = max(self._stretch, 2 * stretch)
            self._limiter.congested(Congestion.TIMEOUT)
            self.breaker.failed(str(error), sent=started)
            raise
        except RunnerUnreachableError as error:
            self._limiter.congested(Congestion.BUSY)
            self.breaker.failed(str(error), sent=started)
            raise
        except BaseException as error:
            self._limiter.released()
            if isinstance(error, OllamaError) and error.retryable:
                self.breaker.failed(str(error), sent=started)
            raise
        finally:
            self._outstanding -= texts

    async def _ask(self, model: Identity, texts: Sequence[str]) -> Answer:
        return await self.ollama.embed(
            model.model,
            texts,
            options=model.options,
            dimensions=model.dimensions,
            patience=self._patience(len(texts)),
        )

    def _patience(self, texts: int) -> float:
        """Seconds without a byte: the client's own until there is an expectation."""
        # After a timeout more and not less: a request that is given up has lost all its work.
        usual = self.ollama.timeout
        if self._pace:
            expected = SLACK * self._pace * max(self._outstanding, texts)
            usual = min(max(expected, SHORTEST_PATIENCE), usual)
        return min(usual * self._stretch, max(self.ollama.timeout, LONGEST_PATIENCE))

    def _observe(self, texts: int, seconds: float) -> None:
        self._stretch = 1.0
        pace = seconds / max(self._outstanding, texts)
        self._pace += (SMOOTHING if self._pace else 1.0) * (pace - self._pace)
