"""A batch in; vectors of its good texts and reasons for its bad ones out."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.changes import Text
from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.batch_size import LEAST, BatchSize
from ingestion_assets.embedding.endpoint import Endpoint
from ingestion_assets.embedding.endpoints import Endpoints
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.errors import (
    ContentError,
    OllamaBusyError,
    OllamaError,
    OllamaTimeoutError,
    PoisonTextError,
    RequestTooLargeError,
    RunnerUnreachableError,
    TextTooLongError,
)

CLUMSY = (OllamaTimeoutError, RunnerUnreachableError)  # failures that a smaller batch may avoid


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


class Delivery:
    """Sends batches: repeats what failed in passing, bisects what fails for its content.

    Args:
        retries: further attempts for a request while harmless texts pass; those that fail because
            the server does are not counted.
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
        left = [_Piece(batch)]
        while left:
            piece = left.pop()
            try:
                sent = await self._request(piece.texts)
            except ContentError as error:
                if len(piece.texts) == 1:
                    yield Rejected(piece.texts[0], error)
                else:
                    left += piece.halves()
            except CLUMSY:
                left += piece.halves()
            else:
                alive, dead = _sorted_out(piece.texts, sent.answer)
                if alive.texts:
                    yield alive
                if dead and piece.deaths < 2:
                    left.append(await self._cured(dead, piece.deaths, sent))
                elif len(dead) > 1:  # a runner that went bad again fails whole lists
                    left += _Piece(dead, piece.deaths).halves()
                elif dead:
                    sent.endpoint.reloads_help = False
                    yield Rejected(dead[0], _dead(sent.endpoint))

    async def _cured(self, texts: Sequence[Text], deaths: int, sent: "_Sent") -> "_Piece":
        """The texts of dead vectors, to be sent again; from the second time on a sound model."""
        if deaths == 0:
            return _Piece(texts, 1)
        sound = await self._pool.reload(sent.endpoint, sent.reloads)
        return _Piece(texts, 2 if sound else 1)

    async def _request(self, texts: Sequence[Text]) -> "_Sent":
        """Send texts until they are answered; permits are free for others between attempts.

        Raises:
            ContentError: the texts are to blame, and not the server.
            OllamaTimeoutError, RunnerUnreachableError: the batch had better be smaller.
            OllamaError: no server is left.
        """
        trial = _Trial(len(texts))
        avoid: Endpoint | None = None
        while True:
            endpoint = await self._pool.take(len(texts), avoid)
            try:
                return await self._send(endpoint, texts)
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
            answer = await self._pool.send(endpoint, [text.text for text in texts])
        self._stats.tokens += answer.tokens
        self._size.succeeded(len(texts), time.perf_counter() - started)
        return _Sent(answer, endpoint, reloads)

    async def _blame(self, trial: "_Trial", endpoint: Endpoint, error: OllamaError) -> None:
        """Raise the error, or a verdict on the texts; return if they deserve another attempt.

        Texts are to blame if they fail again and again while a harmless one passes, which a single
        failure does not show.
        """
        trial.attempts += 1
        if isinstance(error, ContentError):
            if isinstance(error, RequestTooLargeError) and trial.texts >= self._size.size:
                self._size.failed()
            if trial.texts > 1:
                raise error
            if await self._pool.passes_canary(endpoint):
                trial.condemn(error)
            return
        if isinstance(error, OllamaBusyError) or not error.retryable:
            return  # the pool sees to the server, and raises when none is left
        if isinstance(error, CLUMSY):
            self._shrink(trial, error)
        trial.failures += 1
        if trial.failures > min(self._retries, 1) and not await self._pool.passes_canary(endpoint):
            trial.failures = min(self._retries, 1)
        if trial.failures > self._retries:
            blame = f"fails while other texts pass: {error}"
            raise PoisonTextError(endpoint.url, blame) from error

    def _shrink(self, trial: "_Trial", error: OllamaError) -> None:
        """Count it against the size of batches; raise the second time if this one can be halved."""
        trial.clumsy += 1
        self._size.failed()
        if trial.clumsy > 1 and trial.texts > LEAST:
            raise error


@dataclass(slots=True)
class _Trial:
    """What happened to one list of texts so far."""

    texts: int
    attempts: int = 0
    failures: int = 0  # that are not known to be the server's
    clumsy: int = 0
    condemned: bool = False

    def condemn(self, error: ContentError) -> None:
        """Raise the error the second time: a text that fails again is to blame.

        One that is too long is so at once.
        """
        if self.condemned or isinstance(error, TextTooLongError | RequestTooLargeError):
            raise error
        self.condemned = True


@dataclass(frozen=True, slots=True)
class _Piece:
    """Texts to send together; `deaths` says how often they had dead vectors, 2 at most."""

    texts: Sequence[Text]
    deaths: int = 0

    def halves(self) -> "list[_Piece]":
        """Both halves, the first one last."""
        half = len(self.texts) // 2
        return [_Piece(self.texts[half:], self.deaths), _Piece(self.texts[:half], self.deaths)]


@dataclass(frozen=True, slots=True)
class _Sent:
    """An answer and where it is from; `reloads` of the endpoint when it was asked for."""

    answer: Answer
    endpoint: Endpoint
    reloads: int


def _sorted_out(texts: Sequence[Text], answer: Answer) -> tuple[Embedded, list[Text]]:
    """Texts with their vectors, and texts with dead ones."""
    if not answer.dead:
        return Embedded(texts, answer.matrix), []
    dead = set(answer.dead)
    alive = [text for i, text in enumerate(texts) if i not in dead]
    matrix = np.delete(answer.matrix, answer.dead, axis=0)
    return Embedded(alive, matrix), [texts[i] for i in answer.dead]


def _dead(endpoint: Endpoint) -> PoisonTextError:
    return PoisonTextError(
        endpoint.url, "a vector of zeros, NaN or infinity, after the model was loaded afresh too"
    )
