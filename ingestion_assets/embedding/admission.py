"""Which servers take part in a run: who they are, who is left out, who comes back."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding.agreement import Agreement, Claim, claim, persist
from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.endpoint import Endpoint
from ingestion_assets.embedding.identity import Identity
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.outage import Outage
from ingestion_assets.errors import (
    ContentError,
    MixedVectorsError,
    ModelError,
    ModelMismatchError,
    OllamaBusyError,
    OllamaError,
    OllamaUnavailableError,
    WrongDimensionsError,
)

MISFITS = 2  # answers in a row of other dimensions that are asked for again
PROVED_WRONG = (WrongDimensionsError, MixedVectorsError)  # no less after it was asked three times

logger = logging.getLogger(__name__)


class Admission:
    """Lets servers in that have the same model, and back in when they have proved it again.

    Args:
        auto_pull: have a server pull a model that it does not have.
        changed: set whenever there may be something new to know about a server.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        outage: Outage,
        *,
        auto_pull: bool,
        backoff: Backoff,
        changed: asyncio.Event,
    ) -> None:
        self._endpoints = endpoints
        self._outage = outage
        self._auto_pull = auto_pull
        self._backoff = backoff
        self._changed = changed
        self._agreement: Agreement | None = None

    @property
    def agreement(self) -> Agreement:
        """What the servers agreed on."""
        if self._agreement is None:
            raise RuntimeError("nothing is agreed on; enter `serving` first")
        return self._agreement

    async def identify(self, model: str) -> Identity:
        """What the servers say of the model; see `Endpoints.identify`."""
        failures = 0
        while True:
            said = await asyncio.gather(*(self._claim(e.ollama, model) for e in self._endpoints))
            errors = [answer for answer in said if isinstance(answer, OllamaError)]
            claims = [answer for answer in said if isinstance(answer, Claim)]
            if claims:
                break
            raise_lasting(errors)
            failures += 1
            await self._wait(failures, errors[-1])
        self._outage.ended()
        agreement = self._agree(claims[0])
        for other in claims[1:]:
            agreement.compare(other)
        for endpoint, answer in zip(self._endpoints, said, strict=True):
            if isinstance(answer, OllamaError):
                self._exclude(endpoint, answer)
        return agreement.model

    def expect(self, model: Identity, canary: NDArray[np.float32] | None) -> None:
        """Have this model agreed on, and the canary's vector of an earlier run if there is one."""
        if self._agreement is None or self._agreement.model != model:
            self._agree(Claim(self._endpoints[0].url, model))
        if canary is not None:
            self.agreement.expect(canary)

    async def prove(self) -> None:
        """Have all available servers embed a canary alike; see `Endpoints.prove`."""
        available = [endpoint for endpoint in self._endpoints if endpoint.available]
        said = await asyncio.gather(
            *(self._prove(endpoint) for endpoint in available), return_exceptions=True
        )
        for endpoint, error in zip(available, said, strict=True):
            if isinstance(error, OllamaError) and not isinstance(error, ModelMismatchError):
                self._exclude(endpoint, error)
            elif error is not None:
                raise error
        if not any(endpoint.available for endpoint in self._endpoints):
            raise_lasting(error for error in said if isinstance(error, OllamaError))

    async def keep(self, endpoint: Endpoint) -> None:
        """Bring a server back each time it was ejected."""
        while endpoint.refused is None:
            await endpoint.ejected.wait()
            await asyncio.sleep(endpoint.breaker.canary_in)
            if endpoint.breaker.probe():
                await self._readmit(endpoint)
            if endpoint.breaker.closed:
                endpoint.ejected.clear()

    def failed(self, endpoint: Endpoint, error: OllamaError) -> None:
        """Do to a server what its failure demands."""
        self._outage.failed(error)
        if self._auto_pull and isinstance(error, ModelError):
            self._leave_out(endpoint, error)  # its canary pulls the model
            return
        misfit = isinstance(error, WrongDimensionsError) and endpoint.misfits > MISFITS
        if misfit or not error.retryable or isinstance(error, MixedVectorsError):
            self.refuse(endpoint, error)

    def refuse(self, endpoint: Endpoint, error: OllamaError) -> None:
        """Leave a server out for good."""
        if endpoint.refused is None:
            logger.error("%s is out of use for this run: %s", endpoint.url, error)
            endpoint.refused = error

    def notice(self, endpoint: Endpoint) -> None:
        """See whether a server was ejected."""
        if not endpoint.breaker.closed:
            endpoint.ejected.set()
            endpoint.trust.release()  # who knows whether it can ever be asked
        self._changed.set()

    async def _wait(self, failures: int, error: OllamaError) -> None:
        self._outage.failed(error)
        self._outage.check(", ".join(endpoint.url for endpoint in self._endpoints))
        pause = self._backoff.pause(failures, error)
        logger.warning("No Ollama answers, again in %.1f s: %s", pause, error)
        await self._backoff.sleep(pause)

    def _agree(self, first: Claim) -> Agreement:
        self._agreement = Agreement(first, auto_pull=self._auto_pull, backoff=self._backoff)
        return self._agreement

    async def _claim(self, ollama: Ollama, model: str) -> Claim | OllamaError:
        """A server's claim, or why there is none."""
        try:
            return await persist(
                lambda: claim(ollama, model, auto_pull=self._auto_pull), self._backoff
            )
        except OllamaError as error:
            return error

    async def _prove(self, endpoint: Endpoint) -> None:
        endpoint.trust.learn(await self.agreement.prove(endpoint.ollama))

    def _exclude(self, endpoint: Endpoint, error: OllamaError) -> None:
        """Begin without a server: until it has recovered, or for good if it cannot."""
        self.failed(endpoint, error)
        if isinstance(error, PROVED_WRONG):
            self.refuse(endpoint, error)
        elif error.retryable:
            self._leave_out(endpoint, error)

    def _leave_out(self, endpoint: Endpoint, error: OllamaError) -> None:
        endpoint.breaker.trip(str(error))
        self.notice(endpoint)

    async def _readmit(self, endpoint: Endpoint) -> None:
        try:
            endpoint.trust.learn(await self.agreement.readmit(endpoint.ollama))
        except OllamaError as error:
            endpoint.breaker.canary_failed(str(error))
            self._outage.failed(error)
            lasting = not error.retryable and not isinstance(error, ContentError)
            if lasting or isinstance(error, PROVED_WRONG):
                self.refuse(endpoint, error)
        except BaseException:
            endpoint.breaker.canary_failed("it was interrupted")
            raise
        else:
            endpoint.breaker.canary_succeeded()
            self._outage.ended()
        finally:
            self._changed.set()


def raise_lasting(errors: Iterable[OllamaError]) -> None:
    """Raise the first that does not merely say that a server is down."""
    for error in errors:
        if not isinstance(error, OllamaUnavailableError | OllamaBusyError):
            raise error
