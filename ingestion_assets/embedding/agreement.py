"""What all servers of a pool must agree on: the model, and the vectors it gives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.canary import SAME
from ingestion_assets.embedding.identity import Identity
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.errors import (
    ContentError,
    ModelError,
    ModelMismatchError,
    OllamaAnswerError,
    OllamaError,
)

TRIES = 3  # of a question to a server, before it counts as down

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a server says of the model."""

    url: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class _Canary:
    """A vector to compare with, where it is from, and what to do if another one is not the same."""

    vector: NDArray[np.float32]
    where: str
    remedy: str


class Agreement:
    """Compares every server with the one that spoke first.

    Args:
        first: what that one said.
        auto_pull: have a server pull a model that it does not have.
    """

    def __init__(self, first: Claim, *, auto_pull: bool, backoff: Backoff) -> None:
        self.model = first.identity
        self._first = first
        self._auto_pull = auto_pull
        self._backoff = backoff
        self._canary: _Canary | None = None

    @property
    def canary(self) -> NDArray[np.float32] | None:
        """The vector that the canary must have; none before it is known."""
        return self._canary.vector if self._canary else None

    def expect(self, canary: NDArray[np.float32]) -> None:
        """Compare with the canary's vector of an earlier run."""
        self._canary = _Canary(
            canary,
            "when the stored vectors were made",
            "go back to that version of Ollama, or have all embedded anew: `ollama cp {0} {0}:new`"
            " and INGESTION_MODEL={0}:new",
        )

    async def readmit(self, ollama: Ollama) -> NDArray[np.float32]:
        """Ask a server everything again: it may have come back as another one.

        Returns:
            The canary's vector, as `prove` does.

        Raises:
            OllamaError: it does not answer, or does not agree.
        """
        self.compare(await claim(ollama, self.model.model, auto_pull=self._auto_pull))
        return await self.prove(ollama)

    def compare(self, other: Claim) -> None:
        """Check that a server has the very same model.

        Raises:
            ModelMismatchError: it has not; names both servers.
        """
        ours = (self.model.digest, self.model.dimensions)
        theirs = (other.identity.digest, other.identity.dimensions)
        # What a model is shortened to is not what it says of itself.
        if ours[0] != theirs[0] or (ours != theirs and not self.model.shortened):
            model = self.model.model
            raise ModelMismatchError(
                other.url,
                model,
                f"{model!r} is {_named(*theirs)}, but {_named(*ours)} at {self._first.url}; run"
                f" `ollama pull {model}` on both, or take one out of OLLAMA_HOSTS",
            )

    async def prove(self, ollama: Ollama) -> NDArray[np.float32]:
        """Have a server load the model and embed a canary as the others do, and as it was before.

        Returns:
            The canary's vector at this server, shape (d,).

        Raises:
            OllamaError: it cannot, or its vector is another one; names what it differs from.
        """
        vector = await persist(lambda: self._vector(ollama), self._backoff)
        if self._canary is None:
            self._canary = _Canary(
                vector,
                f"at {ollama.base_url}",
                "restart both servers, or take one out of OLLAMA_HOSTS",
            )
        known = self._canary
        cosine = float(vector @ known.vector) if len(vector) == len(known.vector) else 0.0
        if cosine < SAME:
            model = self.model.model
            raise ModelMismatchError(
                ollama.base_url,
                model,
                f"{model!r} gives other vectors than {known.where} (cosine {cosine:.3f});"
                f" {known.remedy.format(model.partition(':')[0])}",
            )
        return vector

    async def _vector(self, ollama: Ollama) -> NDArray[np.float32]:
        try:
            return await ollama.prove(self.model)
        except (OllamaAnswerError, ContentError):  # a state of the runner that a reload may cure
            await ollama.unload(self.model.model, options=self.model.options)
        try:
            return await ollama.prove(self.model)
        except ContentError as exc:
            raise OllamaAnswerError(
                ollama.base_url, f"{self.model.model!r} fails on a harmless text: {exc}"
            ) from exc


async def claim(ollama: Ollama, model: str, *, auto_pull: bool) -> Claim:
    """What a server says of the model, which it pulls first if it has to and may.

    Raises:
        ModelError: it does not have the model, or the pull fails.
    """
    try:
        return Claim(ollama.base_url, await ollama.identify(model))
    except ModelError:
        if not auto_pull:
            raise
    await ollama.pull(model)
    return Claim(ollama.base_url, await ollama.identify(model))


async def persist(ask: Callable[[], Awaitable[T]], backoff: Backoff) -> T:
    """Ask a server up to three times, since one failure may be a passing one.

    Raises:
        OllamaError: the last failure, or the first that will not pass.
    """
    for failures in range(1, TRIES):
        try:
            return await ask()
        except OllamaError as error:
            if not error.retryable:
                raise
            await backoff.sleep(backoff.pause(failures, error))
    return await ask()


def _named(digest: str, dimensions: int) -> str:
    return f"{digest[:12]} with {dimensions} dimensions"
