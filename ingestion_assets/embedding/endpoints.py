"""Several servers of one model in, the one that will be done first out."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

from ingestion_assets.embedding import breaker
from ingestion_assets.embedding.agreement import Agreement, Claim, claim, persist
from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.breaker import Breaker
from ingestion_assets.embedding.endpoint import Endpoint, EndpointState
from ingestion_assets.embedding.limiter import Limiter
from ingestion_assets.embedding.ollama import Identity, Ollama
from ingestion_assets.errors import (
    ConfigError,
    ContentError,
    ModelError,
    ModelMismatchError,
    NoServerError,
    OllamaBusyError,
    OllamaError,
    OllamaUnavailableError,
)

DEADLINE = 1800.0  # seconds

logger = logging.getLogger(__name__)


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
                Limiter(start=workers, maximum=max_workers),
                Breaker(ollama.base_url, failures=breaker_failures, seconds=breaker_seconds),
            )
            for ollama in ollamas
        ]
        self._deadline = deadline
        self._auto_pull = auto_pull
        self._backoff = backoff or Backoff()
        self._agreement: Agreement | None = None
        self._line = asyncio.Lock()
        self._changed = asyncio.Event()
        self._failing_since: float | None = None
        self._last_error: OllamaError | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for endpoint in self._endpoints:
            await endpoint.ollama.__aexit__(*exc)

    def states(self) -> list[EndpointState]:
        """Every server's part so far, in the order given."""
        return [endpoint.state() for endpoint in self._endpoints]

    async def identify(self, model: str) -> Identity:
        """What the servers say of the model, which must be the same; no text is sent.

        A server that is down is left out; if all are, they are waited for.

        Raises:
            ModelError: a server does not have the model, or another one of the same name.
            OllamaUnavailableError: no server answered until the deadline.
        """
        started, failures = time.monotonic(), 0
        while True:
            said = await asyncio.gather(*(self._claim(e.ollama, model) for e in self._endpoints))
            errors = [answer for answer in said if isinstance(answer, OllamaError)]
            claims = [answer for answer in said if isinstance(answer, Claim)]
            if claims:
                break
            _raise_lasting(errors)
            self._last_error = errors[-1]
            self._give_up_after(started)
            failures += 1
            pause = self._backoff.pause(failures, self._last_error)
            logger.warning("No Ollama answers, again in %.1f s: %s", pause, self._last_error)
            await self._backoff.sleep(pause)
        agreement = self._agree(claims[0])
        for other in claims[1:]:
            agreement.compare(other)
        for endpoint, answer in zip(self._endpoints, said, strict=True):
            if isinstance(answer, OllamaError):
                self._exclude(endpoint, answer)
        return agreement.model

    @asynccontextmanager
    async def serving(self, model: Identity) -> AsyncIterator[None]:
        """While it lasts, servers that are left out are brought back."""
        if self._agreement is None or self._agreement.model != model:
            self._agree(Claim(self._endpoints[0].url, model))
        self._failing_since = None
        keepers = [asyncio.create_task(self._keep(endpoint)) for endpoint in self._endpoints]
        try:
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def prove(self) -> None:
        """Have all available servers load the model and embed a canary alike.

        One that cannot is left out, as long as another can.

        Raises:
            ModelMismatchError: two servers give different vectors.
            OllamaError: no server can, and waiting will not help.
        """
        agreement = self._agreed()
        available = [endpoint for endpoint in self._endpoints if endpoint.available]
        said = await asyncio.gather(
            *(agreement.prove(endpoint.ollama) for endpoint in available), return_exceptions=True
        )
        for endpoint, error in zip(available, said, strict=True):
            if isinstance(error, OllamaError) and not isinstance(error, ModelMismatchError):
                self._exclude(endpoint, error)
            elif error is not None:
                raise error
        if not any(endpoint.available for endpoint in self._endpoints):
            _raise_lasting(error for error in said if isinstance(error, OllamaError))

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

    async def send(self, endpoint: Endpoint, texts: Sequence[str]) -> Answer:
        """Embed on the permit taken, which is given back.

        Raises:
            OllamaError: as the client raises it; what it means for the server is seen to.
        """
        try:
            answer = await endpoint.embed(self._agreed().model, texts)
        except ContentError:
            self._failing_since = None
            raise
        except OllamaError as error:
            self._failed(endpoint, error)
            raise
        finally:
            self._notice(endpoint)
        self._failing_since = None
        return answer

    async def passes_canary(self, endpoint: Endpoint) -> bool:
        """Whether the server embeds a harmless text right now."""
        passed = await endpoint.passes_canary(self._agreed().model)
        if passed:
            self._failing_since = None
        self._notice(endpoint)
        return passed

    async def reload(self, endpoint: Endpoint, seen: int) -> bool:
        """Have a server with dead vectors load its model afresh; whether it is sound then."""
        sound = await endpoint.reload(self._agreed().model, seen)
        self._notice(endpoint)
        return sound

    def has_room_besides(self, endpoint: Endpoint) -> bool:
        """Whether another server could take work at once."""
        return any(other.has_room for other in self._endpoints if other is not endpoint)

    def _agree(self, first: Claim) -> Agreement:
        self._agreement = Agreement(first, auto_pull=self._auto_pull, backoff=self._backoff)
        return self._agreement

    def _agreed(self) -> Agreement:
        if self._agreement is None:
            raise RuntimeError("nothing is agreed on; enter `serving` first")
        return self._agreement

    async def _claim(self, ollama: Ollama, model: str) -> Claim | OllamaError:
        """A server's claim, or why there is none."""
        try:
            return await persist(
                lambda: claim(ollama, model, auto_pull=self._auto_pull), self._backoff
            )
        except OllamaError as error:
            return error

    def _best(self, texts: int, avoid: Endpoint | None) -> Endpoint | None:
        self._give_up_after(self._failing_since)
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
        if self._failing_since is not None:
            ends.append(self._failing_since + self._deadline)
        first = min((end for end in ends if end is not None), default=None)
        return None if first is None else max(first - time.monotonic(), 0.001)

    def _give_up_after(self, since: float | None) -> None:
        if since is None or time.monotonic() - since < self._deadline:
            return
        raise NoServerError(
            ", ".join(endpoint.url for endpoint in self._endpoints),
            f"no answer for {self._deadline:g} s (INGEST_DEADLINE), the last: {self._last_error}",
        ) from self._last_error

    def _failed(self, endpoint: Endpoint, error: OllamaError) -> None:
        self._fail(error)
        if error.retryable:
            return
        if self._auto_pull and isinstance(error, ModelError):
            self._leave_out(endpoint, error)  # its canary pulls the model
        else:
            self._refuse(endpoint, error)

    def _exclude(self, endpoint: Endpoint, error: OllamaError) -> None:
        """Begin without a server: until it has recovered, or for good if it cannot."""
        self._failed(endpoint, error)
        if error.retryable:
            self._leave_out(endpoint, error)

    def _fail(self, error: OllamaError) -> None:
        self._last_error = error
        if self._failing_since is None:
            self._failing_since = time.monotonic()

    def _refuse(self, endpoint: Endpoint, error: OllamaError) -> None:
        if endpoint.refused is None:
            logger.error("%s is out of use for this run: %s", endpoint.url, error)
            endpoint.refused = error

    def _leave_out(self, endpoint: Endpoint, error: OllamaError) -> None:
        endpoint.breaker.trip(str(error))
        self._notice(endpoint)

    def _notice(self, endpoint: Endpoint) -> None:
        if not endpoint.breaker.closed:
            endpoint.ejected.set()
        self._changed.set()

    async def _keep(self, endpoint: Endpoint) -> None:
        """Bring a server back each time it was ejected."""
        while endpoint.refused is None:
            await endpoint.ejected.wait()
            await asyncio.sleep(endpoint.breaker.canary_in)
            if endpoint.breaker.probe():
                await self._readmit(endpoint)
            if endpoint.breaker.closed:
                endpoint.ejected.clear()

    async def _readmit(self, endpoint: Endpoint) -> None:
        try:
            await self._agreed().readmit(endpoint.ollama)
        except OllamaError as error:
            endpoint.breaker.canary_failed(str(error))
            self._fail(error)
            if not error.retryable and not isinstance(error, ContentError):
                self._refuse(endpoint, error)
        except BaseException:
            endpoint.breaker.canary_failed("it was interrupted")
            raise
        else:
            endpoint.breaker.canary_succeeded()
            self._failing_since = None
        finally:
            self._changed.set()


def _raise_lasting(errors: Iterable[OllamaError]) -> None:
    """Raise the first that does not merely say that a server is down."""
    for error in errors:
        if not isinstance(error, OllamaUnavailableError | OllamaBusyError):
            raise error


def _check_urls(urls: Iterable[str]) -> None:
    seen: set[str] = set()
    for url in urls:
        if url in seen:
            raise ConfigError(f"OLLAMA_HOSTS lists {url} twice; list every server once")
        seen.add(url)
    if not seen:
        raise ConfigError("OLLAMA_HOSTS lists no server; set it, or OLLAMA_HOST")
