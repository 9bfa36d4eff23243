"""One server of the pool: its client, its limiter, its breaker, and whether it can be relied on."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.breaker import Breaker, BreakerState
from ingestion_assets.embedding.canary import CANARY, NEIGHBOURS
from ingestion_assets.embedding.gate import Gate
from ingestion_assets.embedding.identity import Identity
from ingestion_assets.embedding.limiter import Congestion, Limiter, LimiterState
from ingestion_assets.embedding.ollama import LOAD_BUDGET, Ollama
from ingestion_assets.embedding.patience import Patience
from ingestion_assets.embedding.trust import Answered, Trust, among
from ingestion_assets.errors import (
    MixedVectorsError,
    OllamaBusyError,
    OllamaError,
    OllamaTimeoutError,
    RateLimitedError,
    RunnerUnreachableError,
    WrongDimensionsError,
)

SETTLING = 30.0  # seconds that a server has to prove its latest answers
UNSTEADY_SHARE = 0.05  # of its requests
WASTE_SHARE = 0.2  # of a server's requests that may be repetitions
WASTE_FLOOR = 50  # repetitions that are granted in any case

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndpointState:
    """One server's part in a run, at one moment.

    Attributes:
        requests: embedding requests sent to it.
        bytes: of the bodies, both ways.
        rate_limit_hits: of these, answered with 429 or 503.
        refused: why it is out of use for good; empty if it is not.
    """

    url: str
    requests: int
    texts: int
    bytes: int
    rate_limit_hits: int
    refused: str
    limiter: LimiterState
    breaker: BreakerState


class Endpoint:
    """A server that is sent one request per permit of its limiter while its breaker is closed.

    Attributes:
        trust: holds its answers until it has shown that they are in order.
        refused: why it is out of use for good; none if it is not.
        reloads: how often its model was unloaded for giving dead vectors.
        reloads_help: whether that cured any; false after it was in vain.
        misfits: times in a row that its vectors had other dimensions than the model.
        wasted: requests that it failed, although it was up and no text was to blame.
        ejected: set while something has to bring it back.
    """

    def __init__(
        self, ollama: Ollama, limiter: Limiter, breaker: Breaker, trust: Trust | None = None
    ) -> None:
        self.ollama = ollama
        self.breaker = breaker
        self.trust = trust or Trust(ollama.base_url)
        self.refused: OllamaError | None = None
        self.reloads = 0
        self.reloads_help = True
        self.misfits = 0
        self.wasted = 0
        self.ejected = asyncio.Event()
        self._limiter = limiter
        self._patience = Patience(ollama.timeout)
        self._gate = Gate()
        self._asking = asyncio.Lock()
        self._asked_at, self._well = 0.0, False
        self._misfit_at = 0.0
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
        return self.available and not self._gate.closed and self._limiter.has_room()

    @property
    def pace(self) -> float:
        """Seconds it takes for a text; 0 before the first answer."""
        return self._patience.pace

    @property
    def resumes_at(self) -> float | None:
        """When a pause that it asked for ends, by the clock of `time.monotonic`."""
        return self._limiter.resumes_at()

    @property
    def requests(self) -> int:
        """Embedding requests sent to it."""
        return self.ollama.stats.requests

    @property
    def unsteady(self) -> bool:
        """Whether good texts fail on it now and then, so that failing a few times says little."""
        return self.wasted > UNSTEADY_SHARE * self.requests

    @property
    def wasteful(self) -> bool:
        """Whether more of its requests had to be repeated than it is worth."""
        return self.wasted > WASTE_FLOOR + WASTE_SHARE * self.requests

    def work(self, texts: int) -> int:
        """Texts it would have to do if it were given so many more."""
        return self._gate.texts + texts

    def take(self, texts: int) -> None:
        """Take a permit; the next `embed` gives it back."""
        self._limiter.take()
        self._gate.enter(texts)

    async def embed(self, model: Identity, texts: Sequence[str]) -> Answered:
        """Embed on the permit taken; limiter, breaker and trust learn how it ends.

        Raises:
            OllamaError: as the client raises it.
            MixedVectorsError: it does not keep the order of a list.
        """
        started = time.monotonic()
        place = self.trust.place(len(texts))
        with self._gate.leaving(len(texts)), self._permit(started):
            answered = self.trust.judge(await self._ask(model, among(texts, place)), place)
            seconds = time.monotonic() - started
            self._patience.answered(self.work(0), seconds)
            self._limiter.succeeded(len(texts), seconds)
        self.misfits = 0
        if len(answered.answer.dead) > 1:  # one may be the text's own fault
            self.breaker.failed(f"{len(answered.answer.dead)} dead vectors in one answer")
        elif not answered.answer.dead:
            self.breaker.succeeded()
        return answered

    async def passes_canary(self, model: Identity) -> bool:
        """Whether a harmless text is embedded right now; false for a server out of use.

        Who asks while another one's canary is under way shares its fate.
        """
        asked = time.monotonic()
        async with self._asking:
            if self._asked_at < asked:
                await self._gate.passed()  # it would load a model that is being unloaded
                with self._gate.leaving(1):
                    self._well = await self._embeds_canary(model)
                self._asked_at = time.monotonic()
            return self._well

    async def reload(self, model: Identity, seen: int) -> bool:
        """Have the model loaded afresh, unless that was done since; whether it then is sound.

        A runner can get into a state in which its vectors are dead until it is unloaded.

        Args:
            seen: `reloads` when the request with the dead vectors was sent.
        """
        async with self._gate.alone():
            if self.reloads > seen:
                return self.available
            if not self.reloads_help and await self._embeds_canary(model):
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

    async def embed_on_cpu(self, model: Identity, text: str) -> Answer:
        """Embed one text without a GPU, which has the model loaded twice: there and back.

        Raises:
            OllamaError: as the client raises it.
        """
        patience = max(LOAD_BUDGET, self.ollama.timeout)
        options = {**model.options, "num_gpu": 0}
        answer: Answer | OllamaError
        async with self._gate.alone():
            logger.warning("Loading %r at %s without a GPU for a text", model.model, self.url)
            try:
                answer = await self.ollama.embed(
                    model.model,
                    [text],
                    options=options,
                    dimensions=model.asked_dimensions,
                    patience=patience,
                )
            except OllamaError as error:
                answer = error
            await self.ollama.preload(model.model, options=model.options)
        if isinstance(answer, OllamaError):
            raise answer
        return answer

    async def settle(self, model: Identity) -> None:
        """Check the latest answers, if they were not; they are believed if that is impossible.

        Raises:
            MixedVectorsError: they are not in order.
        """
        if not self.trust.pending:
            return
        place = len(NEIGHBOURS)  # in the middle it would not show that a list is reversed
        try:
            async with asyncio.timeout(SETTLING):
                self.trust.judge(await self._ask(model, among(NEIGHBOURS, place)), place)
        except MixedVectorsError:
            raise
        except (OllamaError, TimeoutError) as error:
            logger.warning("The latest answers of %s cannot be checked: %s", self.url, error)
        self.trust.release()

    def state(self) -> EndpointState:
        """What became of it so far."""
        stats = self.ollama.stats
        return EndpointState(
            self.url,
            stats.requests,
            stats.texts,
            stats.bytes,
            self._rate_limit_hits,
            str(self.refused or ""),
            self._limiter.state(),
            self.breaker.state(),
        )

    async def _embeds_canary(self, model: Identity) -> bool:
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
        self._patience.calm()
        self.breaker.succeeded()
        return True

    async def _ask(self, model: Identity, texts: Sequence[str]) -> Answer:
        return await self.ollama.embed(
            model.model,
            texts,
            options=model.options,
            dimensions=model.asked_dimensions,
            expected=model.dimensions,
            patience=self._patience.seconds(max(self.work(0), len(texts))),
        )

    @contextmanager
    def _permit(self, started: float) -> Iterator[None]:
        """Give the permit back as the failure demands; success gives it back itself."""
        stretch = self._patience.stretch
        try:
            yield
        except OllamaBusyError as error:
            self._rate_limit_hits += 1
            limited = isinstance(error, RateLimitedError)
            cause = Congestion.RATE_LIMITED if limited else Congestion.BUSY
            self._limiter.congested(cause, error.retry_after)
            raise
        except OllamaTimeoutError as error:
            self._patience.timed_out(stretch, started)
            self._limiter.congested(Congestion.TIMEOUT)
            self.breaker.failed(str(error), sent=started)
            raise
        except RunnerUnreachableError as error:
            self._limiter.congested(Congestion.BUSY)
            self.breaker.failed(str(error), sent=started)
            raise
        except BaseException as error:
            self._limiter.released()
            if isinstance(error, WrongDimensionsError):
                self._misfit(started)
            if isinstance(error, OllamaError) and error.retryable:
                self.breaker.failed(str(error), sent=started)
            raise

    def _misfit(self, sent: float) -> None:
        """Count it, once for requests that were under way together."""
        if sent >= self._misfit_at:
            self._misfit_at = time.monotonic()
            self.misfits += 1
