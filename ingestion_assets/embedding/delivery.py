"""A batch in; vectors of its good texts and reasons for its bad ones out."""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.changes import Text
from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.batch_size import LEAST, BatchSize
from ingestion_assets.embedding.cleaning import cleaned
from ingestion_assets.embedding.endpoint import Endpoint
from ingestion_assets.embedding.endpoints import Endpoints
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.embedding.trial import InVain, Piece, Trial
from ingestion_assets.embedding.trust import Probation
from ingestion_assets.errors import (
    ContentError,
    MixedVectorsError,
    OllamaBusyError,
    OllamaError,
    OllamaTimeoutError,
    PoisonTextError,
    RequestTooLargeError,
    RunnerUnreachableError,
    WrongDimensionsError,
)

CLUMSY = (OllamaTimeoutError, RunnerUnreachableError)  # failures that a smaller batch may avoid
NEVER_THE_TEXTS = (OllamaBusyError, WrongDimensionsError, MixedVectorsError)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Embedded:
    """n texts and their vectors: float32, shape (n, d), in the same order.

    Attributes:
        probation: holds them until the server has shown that it keeps the order of a list.
    """

    texts: Sequence[Text]
    matrix: NDArray[np.float32]
    probation: Probation


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text that cannot be embedded, and why; its neighbours were."""

    text: Text
    error: ContentError


class Delivery:
    """Sends batches: repeats what failed in passing, bisects what fails for its content.

    A request of many texts that fails twice while a harmless text passes is halved, and from then
    on each half that fails, so a text that kills the runner is found in two requests per halving.

    Args:
        retries: further attempts for a single text while harmless ones pass; those that fail
            because the server does are not counted.
    """

    def __init__(
        self,
        pool: Endpoints,
        *,
        size: BatchSize,
        retries: int,
        backoff: Backoff,
        stats: Stats,
    ) -> None:
        self._pool = pool
        self._size = size
        self._retries = retries
        self._backoff = backoff
        self._stats = stats

    async def embed(self, batch: Sequence[Text]) -> AsyncIterator[Embedded | Rejected]:
        """Every text of the batch once, as part of an Embedded or as a Rejected.

        Raises:
            OllamaError: the servers, not a text, are at fault; what was not yet yielded is not
                embedded.
        """
        in_vain: InVain = []
        guilty = False
        async for outcome in self._delivered(batch, in_vain):
            guilty |= isinstance(outcome, Rejected)
            yield outcome
        if not guilty:
            for endpoint, error in in_vain:
                self._pool.wasted(endpoint, error)

    async def _delivered(
        self, batch: Sequence[Text], in_vain: InVain
    ) -> AsyncIterator[Embedded | Rejected]:
        """As `embed`; adds the failures that were not known to be a server's."""
        left = [Piece(batch)]
        while left:
            piece = left.pop()
            try:
                sent = await self._request(piece, in_vain)
            except ContentError as error:
                if len(piece.texts) == 1:
                    yield await self._last_try(piece.texts[0], error)
                else:
                    left += piece.halves(suspect=True)
            except CLUMSY:
                left += piece.halves()
            else:
                alive, dead = _sorted_out(piece.texts, sent)
                if alive.texts:
                    yield alive
                if dead and piece.deaths < 2:
                    left.append(await self._cured(dead, piece.deaths, sent))
                elif len(dead) > 1:  # a runner that went bad again fails whole lists
                    left += Piece(dead, piece.deaths).halves()
                elif dead:
                    sent.endpoint.reloads_help = False
                    yield await self._last_try(dead[0], _dead(sent.endpoint))

    async def _cured(self, texts: Sequence[Text], deaths: int, sent: "_Sent") -> Piece:
        """The texts of dead vectors, to be sent again; from the second time on a sound model."""
        if deaths == 0:
            return Piece(texts, 1)
        sound = await self._pool.reload(sent.endpoint, sent.reloads)
        return Piece(texts, 2 if sound else 1)

    async def _request(self, piece: Piece, in_vain: InVain) -> "_Sent":
        """Send texts until they are answered; permits are free for others between attempts.

        Raises:
            ContentError: the texts are to blame, and not the server.
            OllamaTimeoutError, RunnerUnreachableError: the batch had better be smaller.
            OllamaError: no server is left.
        """
        trial = Trial(piece, self._retries)
        try:
            return await self._tried(piece, trial)
        finally:
            in_vain += trial.in_vain

    async def _tried(self, piece: Piece, trial: Trial) -> "_Sent":
        avoid: Endpoint | None = None
        while True:
            endpoint = await self._pool.take(len(piece.texts), avoid)
            try:
                return await self._send(endpoint, piece.texts)
            except OllamaError as error:
                await self._blame(trial, endpoint, error)
                pause = self._backoff.pause(trial.attempts, error)
            self._stats.retries += 1
            avoid = endpoint
            if endpoint.available and not self._pool.has_room_besides(endpoint):
                await self._backoff.sleep(pause)

    async def _send(self, endpoint: Endpoint, texts: Sequence[Text]) -> "_Sent":
        reloads, started = endpoint.reloads, time.perf_counter()
        with self._stats.request(len(texts)):
            answered = await self._pool.send(endpoint, [text.text for text in texts])
        self._stats.tokens += answered.answer.tokens
        self._size.succeeded(len(texts), time.perf_counter() - started)
        return _Sent(answered.answer, answered.probation, endpoint, reloads)

    async def _blame(self, trial: Trial, endpoint: Endpoint, error: OllamaError) -> None:
        """Raise the error, or a verdict on the texts; return if they deserve another attempt.

        Texts are to blame if they fail again while a harmless one passes, which a single failure
        does not show.
        """
        trial.attempts += 1
        if isinstance(error, ContentError):
            await self._blame_content(trial, endpoint, error)
        elif error.retryable and not isinstance(error, NEVER_THE_TEXTS):
            await self._blame_either(trial, endpoint, error)
        # Of the rest the pool takes care, which raises when no server is left.

    async def _blame_content(self, trial: Trial, endpoint: Endpoint, error: ContentError) -> None:
        """A failure that the server says is of the texts."""
        if isinstance(error, RequestTooLargeError) and trial.texts >= self._size.size:
            self._size.failed()
        if trial.texts > 1:
            raise error
        if await self._pool.passes_canary(endpoint):
            trial.condemn(error)

    async def _blame_either(self, trial: Trial, endpoint: Endpoint, error: OllamaError) -> None:
        """A failure that may be the texts' or the server's."""
        clumsy = isinstance(error, CLUMSY)
        if clumsy:
            trial.clumsy += 1
        if clumsy and not trial.suspect:
            self._size.failed()
        trial.in_vain.append((endpoint, error))
        if not trial.suspicious:
            return
        if not await self._pool.passes_canary(endpoint):
            trial.excuse()
            if clumsy and trial.clumsy > 1 and trial.texts > LEAST:
                raise error
        elif trial.guilty(unsteady=endpoint.unsteady):
            blame = f"fails while other texts pass: {error}"
            raise PoisonTextError(endpoint.url, blame) from error

    async def _last_try(self, text: Text, error: ContentError) -> Embedded | Rejected:
        """What becomes of a text that fails alone: it may pass cleaner, or on another processor."""
        # It is not cut: a vector of its beginning would be taken for one of the whole text.
        if not isinstance(error, PoisonTextError):
            return Rejected(text, error)
        answer = await self._cleaned(text)
        answer = answer or await self._on_cpu(text)
        if answer is None:
            return Rejected(text, error)
        self._stats.altered += 1
        _say(logging.WARNING, text, "is embedded after all; before", error)
        return Embedded([text], answer.matrix, Probation(over=True))

    async def _cleaned(self, text: Text) -> Answer | None:
        """The answer to the text without invisible oddities, if it has any; asked for once."""
        plain = cleaned(text.text)
        if plain in ("", text.text):
            return None
        endpoint = await self._pool.take(1)
        try:
            return _alive((await self._send(endpoint, [replace(text, text=plain)])).answer)
        except OllamaError as error:
            _say(logging.INFO, text, "fails without control characters too", error)
            return None

    async def _on_cpu(self, text: Text) -> Answer | None:
        """The answer to the text without a GPU, where that is allowed; asked for once."""
        try:
            return _alive(await self._pool.embed_on_cpu(text.text))
        except OllamaError as error:
            _say(logging.INFO, text, "fails without a GPU too", error)
            return None


@dataclass(frozen=True, slots=True)
class _Sent:
    """An answer and where it is from; `reloads` of the endpoint when it was asked for."""

    answer: Answer
    probation: Probation
    endpoint: Endpoint
    reloads: int


def _say(level: int, text: Text, what: str, error: OllamaError) -> None:
    logger.log(level, "Chunk %s %s: %s", text.chunk_id, what, error, extra={"chunk": text.chunk_id})


def nothing(dimensions: int) -> Embedded:
    """No texts, and their vectors."""
    return Embedded([], np.empty((0, dimensions), np.float32), Probation(over=True))


def _sorted_out(texts: Sequence[Text], sent: _Sent) -> tuple[Embedded, list[Text]]:
    """Texts with their vectors, and texts with dead ones."""
    answer = sent.answer
    if not answer.dead:
        return Embedded(texts, answer.matrix, sent.probation), []
    dead = set(answer.dead)
    alive = [text for i, text in enumerate(texts) if i not in dead]
    matrix = np.delete(answer.matrix, answer.dead, axis=0)
    return Embedded(alive, matrix, sent.probation), [texts[i] for i in answer.dead]


def _alive(answer: Answer | None) -> Answer | None:
    return None if answer is None or answer.dead else answer


def _dead(endpoint: Endpoint) -> PoisonTextError:
    return PoisonTextError(
        endpoint.url, "a vector of zeros, NaN or infinity, after the model was loaded afresh too"
    )
