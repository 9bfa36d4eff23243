"""Several servers of one model in, the one that will be done first out."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding import breaker
from ingestion_assets.embedding.admission import Admission
from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.breaker import Breaker
from ingestion_assets.embedding.endpoint import Endpoint, EndpointState
from ingestion_assets.embedding.fidelity import Probe, Silence, probes
from ingestion_assets.embedding.identity import Identity
from ingestion_assets.embedding.limiter import Limiter
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.outage import Outage
from ingestion_assets.embedding.trust import Answered
from ingestion_assets.errors import (
    ConfigError,
    ContentError,
    OllamaError,
    RetryBudgetError,
)
from ingestion_assets.share import Share

DEADLINE = 1800.0  # seconds


class Endpoints:
    """The pool: who is sent what, who is left out, and who comes back.

    A server leaves the pool when its breaker opens, and comes back when it has proved that it is
    up, has the same model, and gives the same vectors. One that has another model, or refuses
    requests for good, stays out. An outage of all is waited for until the deadline. Use it as an
    async context manager; it closes the clients.

    Args:
        ollamas: open clients, one a server; each with connections for `max_workers` and two more.
        workers: requests in flight to a server at the beginning.
        max_workers: requests in flight to a server at most.
        breaker_failures: in a row, that take a server out.
        breaker_seconds: until it is tried again.
        deadline: seconds without any answer before `take` gives up.
        auto_pull: have a server pull a model that it does not have.

    Raises:
        ConfigError: no server, or one of them twice.
    """

    def __init__(
        self,
        ollamas: Sequence[Ollama],
        *,
        workers: int = 4,
        max_workers: int = 8,
        breaker_failures: int = breaker.FAILURES,
        breaker_seconds: float = breaker.SECONDS,
        deadline: float = DEADLINE,
        auto_pull: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        _check_urls([ollama.base_url for ollama in ollamas])
        self.max_in_flight = len(ollamas) * max_workers
        self._endpoints = [
            Endpoint(
                ollama,
                Limiter(start=workers, maximum=max_workers, share=ollama.share),
                Breaker(ollama.base_url, failures=breaker_failures, seconds=breaker_seconds),
            )
            for ollama in ollamas
        ]
        self._line = asyncio.Lock()
        self._changed = asyncio.Event()
        for ollama in ollamas:
            ollama.share.listen(self._changed.set)
        self._outage = Outage(deadline)
        self._admission = Admission(
            self._endpoints,
            self._outage,
            auto_pull=auto_pull,
            backoff=backoff or Backoff(),
            changed=self._changed,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for endpoint in self._endpoints:
            await endpoint.ollama.__aexit__(*exc)

    def states(self) -> list[EndpointState]:
        """Every server's part so far, in the order given."""
        return [endpoint.state() for endpoint in self._endpoints]

    def shares(self) -> dict[str, Share]:
        """What bounds the requests in flight at each server, by its url."""
        return {endpoint.url: endpoint.ollama.share for endpoint in self._endpoints}

    async def identify(self, model: str) -> Identity:
        """What the servers say of the model, which must be the same; no text is sent.

        A server that is down is left out; if all are, they are waited for.

        Raises:
            ModelError: a server does not have the model, or another one of the same name.
            OllamaUnavailableError: no server answered until the deadline.
        """
        return await self._admission.identify(model)

    @asynccontextmanager
    async def serving(
        self, model: Identity, canary: NDArray[np.float32] | None = None
    ) -> AsyncIterator[None]:
        """While it lasts, servers that are left out are brought back.

        All connections are opened at its beginning, and not when requests wait for them.

        Args:
            canary: its vector of an earlier run, which they must give again; none if unknown.
        """
        self._admission.expect(model, canary)
        self._outage.ended()
        keepers = [asyncio.create_task(self._admission.keep(e)) for e in self._endpoints]
        openers = [asyncio.create_task(e.ollama.fill()) for e in self._endpoints]
        try:
            yield
        finally:
            for task in (*keepers, *openers):
                task.cancel()
            await asyncio.gather(*keepers, *openers, return_exceptions=True)

    async def prove(self) -> NDArray[np.float32] | None:
        """Have all available servers load the model and embed a canary alike.

        One that cannot is left out, as long as another can.

        Raises:
            ModelMismatchError: two servers give different vectors, or others than before.
            OllamaError: no server can, and waiting will not help.

        Returns:
            The canary's vector, float32, shape (d,); none if no server is up.
        """
        await self._admission.prove()
        return self._admission.agreement.canary

    async def probe(self, model: Identity, prefix: str) -> list[Probe | Silence]:
        """What each server gives for texts of many kinds, none of which is stored.

        Args:
            prefix: of the documents.
        """
        left_out = [e for e in self._endpoints if not e.available]
        said = await probes([e.ollama for e in self._endpoints if e.available], model, prefix)
        silent = [Silence(e.url, str(e.refused or "it was down just before")) for e in left_out]
        return [*said, *silent]

    async def take(self, texts: int, avoid: Endpoint | None = None) -> Endpoint:
        """Wait for the server that will be done first with so many texts more, and a permit of it.

        Args:
            avoid: taken only if no other has room, since it has just failed.

        Raises:
            OllamaUnavailableError: there was no answer from any server until the deadline.
            OllamaError: no server is left, because of this.
        """
        async with self._line:
            while (endpoint := self._best(texts, avoid)) is None:
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._longest_wait()):
                        await self._changed.wait()
            endpoint.take(texts)
            return endpoint

    async def send(self, endpoint: Endpoint, texts: Sequence[str]) -> Answered:
        """Embed on the permit taken, which is given back.

        Raises:
            OllamaError: as the client raises it; what it means for the server is seen to.
        """
        try:
            answered = await endpoint.embed(self._model, texts)
        except ContentError:
            self._outage.ended()
            raise
        except OllamaError as error:
            self._admission.failed(endpoint, error)
            raise
        finally:
            self._admission.notice(endpoint)
        self._outage.ended()
        return answered

    async def passes_canary(self, endpoint: Endpoint) -> bool:
        """Whether the server embeds a harmless text right now."""
        passed = await endpoint.passes_canary(self._model)
        if passed:
            self._outage.ended()
        self._admission.notice(endpoint)
        return passed

    async def reload(self, endpoint: Endpoint, seen: int) -> bool:
        """Have a server with dead vectors load its model afresh; whether it is sound then."""
        sound = await endpoint.reload(self._model, seen)
        self._admission.notice(endpoint)
        return sound

    async def embed_on_cpu(self, text: str) -> Answer | None:
        """Embed one text without a GPU, on the idlest server that may do so; none if none may.

        Raises:
            OllamaError: as the client raises it.
        """
        allowed = [e for e in self._endpoints if e.available and e.ollama.cpu_retry]
        if not allowed:
            return None
        endpoint = min(allowed, key=lambda e: e.work(1))
        try:
            return await endpoint.embed_on_cpu(self._model, text)
        finally:
            self._changed.set()

    def wasted(self, endpoint: Endpoint, error: OllamaError) -> None:
        """Count a request that failed although the server was up and no text was to blame.

        A server of which too many did is refused: it makes more work than it does.
        """
        endpoint.wasted += 1
        if endpoint.wasteful:
            message = (
                f"{endpoint.wasted} of {endpoint.requests} requests had to be repeated while it"
                f" was up; find out why, then run again; the last after: {error}"
            )
            self._admission.refuse(endpoint, RetryBudgetError(endpoint.url, message))

    async def settle(self) -> None:
        """Check every server's latest answers, and let go what waits for that.

        Raises:
            MixedVectorsError: a server mixed vectors up, and so some texts have none.
        """
        said = await asyncio.gather(
            *(endpoint.settle(self._model) for endpoint in self._endpoints), return_exceptions=True
        )
        for endpoint, error in zip(self._endpoints, said, strict=True):
            if isinstance(error, OllamaError):
                self._admission.failed(endpoint, error)
            elif error is not None:
                raise error
        for endpoint in self._endpoints:
            if endpoint.trust.lost() and endpoint.refused:
                raise endpoint.refused

    def has_room_besides(self, endpoint: Endpoint) -> bool:
        """Whether another server could take work at once."""
        return any(other.has_room for other in self._endpoints if other is not endpoint)

    @property
    def _model(self) -> Identity:
        return self._admission.agreement.model

    def _best(self, texts: int, avoid: Endpoint | None) -> Endpoint | None:
        self._outage.check(", ".join(endpoint.url for endpoint in self._endpoints))
        refusals = [endpoint.refused for endpoint in self._endpoints if endpoint.refused]
        if len(refusals) == len(self._endpoints):
            raise refusals[-1]
        free = [endpoint for endpoint in self._endpoints if endpoint.has_room]
        free = [endpoint for endpoint in free if endpoint is not avoid] or free
        # One without a pace yet is taken for as fast as the fastest, so that it gets one.
        fastest = min((endpoint.pace for endpoint in free if endpoint.pace), default=1.0)
        return min(free, key=lambda e: e.work(texts) * (e.pace or fastest), default=None)

    def _longest_wait(self) -> float | None:
        """Seconds after which there is something new without anybody's doing."""
        ends = [endpoint.resumes_at for endpoint in self._endpoints if endpoint.available]
        ends.append(self._outage.ends_at)
        first = min((end for end in ends if end is not None), default=None)
        return None if first is None else max(first - time.monotonic(), 0.001)


def _check_urls(urls: Iterable[str]) -> None:
    seen: set[str] = set()
    for url in urls:
        if url in seen:
            raise ConfigError(f"OLLAMA_HOSTS lists {url} twice; list every server once")
        seen.add(url)
    if not seen:
        raise ConfigError("OLLAMA_HOSTS lists no server; set it, or OLLAMA_HOST")
