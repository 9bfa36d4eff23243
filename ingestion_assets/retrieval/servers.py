"""All Ollama servers of questions: not behind a backfill, and not waiting for the dead."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.breaker import FAILURES, SECONDS, Breaker
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.errors import (
    ContentError,
    ModelMismatchError,
    OllamaError,
    OllamaUnavailableError,
)
from ingestion_assets.retrieval.server import Server, ServerState
from ingestion_assets.share import Share


class Servers:
    """All servers of one model: the idlest is asked, then the next one where that one fails.

    Use it as an async context manager; it closes the clients.

    Args:
        ollamas: open clients, one a server.
        workers: requests in flight to one server at most.
        timeout: seconds that a vector is waited for.
        breaker_failures: in a row, that take a server out of use.
        breaker_seconds: until it is tried again.
    """

    def __init__(
        self,
        ollamas: Sequence[Ollama],
        *,
        workers: int = 8,
        timeout: float = 10.0,
        breaker_failures: int = FAILURES,
        breaker_seconds: float = SECONDS,
    ) -> None:
        self._servers = [
            Server(
                ollama,
                Breaker(ollama.base_url, failures=breaker_failures, seconds=breaker_seconds),
                workers=workers,
                timeout=timeout,
            )
            for ollama in ollamas
        ]
        self._digests: dict[str, str] = {}
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def base_url(self) -> str:
        """Where they are."""
        return ", ".join(server.ollama.base_url for server in self._servers)

    async def __aenter__(self) -> Self:
        self._keepers = [asyncio.create_task(server.keep()) for server in self._servers]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for server in self._servers:
            await server.close()

    def shares(self) -> dict[str, Share]:
        """What bounds the requests in flight at each server, by its url."""
        return {server.ollama.base_url: server.ollama.share for server in self._servers}

    def states(self) -> list[ServerState]:
        """Every server at this moment, in the order given."""
        return [server.state() for server in self._servers]

    async def versions(self, seconds: float) -> list[str | OllamaError]:
        """Every server's version, or why it has none to tell, in the order given."""
        return await asyncio.gather(*(server.version(seconds) for server in self._servers))

    async def digest(self, model: str) -> str:
        """The digest of the model.

        Raises:
            OllamaError: no server says.
        """
        for server in self._usable():
            try:
                self._digests[model] = await server.digest(model)
            except OllamaError as error:
                failed = error
            else:
                return self._digests[model]
        raise failed

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        options: Mapping[str, Any] | None = None,
        truncate: bool = False,
        dimensions: int | None = None,
    ) -> Answer:
        """Vectors of a few short texts, by the first server that gives them.

        Raises:
            ContentError: the texts cannot be embedded.
            OllamaUnavailableError: all are out of use; said at once.
            OllamaError: all failed; what the last one said.
        """
        for server in self._usable():
            try:
                await self._check(server, model)
                return await server.embed(
                    model, texts, options or {}, truncate=truncate, dimensions=dimensions
                )
            except ContentError:
                raise  # the text is at fault, so all would say the same
            except OllamaError as error:
                failed = error
        raise failed

    def _usable(self) -> list[Server]:
        """The servers in use, the idlest first.

        Raises:
            OllamaUnavailableError: there is none.
        """
        usable = [server for server in self._servers if server.breaker.closed]
        if not usable:
            raise OllamaUnavailableError(
                self.base_url, "out of use after failures; it is tried again by itself"
            )
        return sorted(usable, key=lambda server: server.load)

    async def _check(self, server: Server, model: str) -> None:
        """Check that the server has the model that the others have."""
        has = await server.digest(model)
        wanted = self._digests.setdefault(model, has)
        if has != wanted:
            raise ModelMismatchError(
                server.ollama.base_url,
                model,
                f"{model!r} is {has[:12]} here and {wanted[:12]} at the others; pull it again",
            )
