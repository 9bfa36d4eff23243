"""Questions in, requests out: those that wait for a permit share the next request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingestion_assets.embedding.answers import Answer
from ingestion_assets.errors import ContentError

# Questions of one request at most. A server has a price for every request, but computes one text
# after another: in a large one, those in front would wait for those behind.
LARGEST = 8


@dataclass(frozen=True, slots=True)
class Kind:
    """What texts must have in common to share a request."""

    model: str
    options: Mapping[str, Any]
    truncate: bool
    dimensions: int | None = None


Send = Callable[[Kind, Sequence[str]], Awaitable[Answer]]


@dataclass(eq=False, slots=True)
class _Asked:
    kind: Kind
    texts: Sequence[str]
    answer: asyncio.Future[Answer]


class Sharing:
    """Sends texts at once while there are permits, and together with others where there are none.

    Attributes:
        in_flight: requests.

    Args:
        send: embeds texts in one request.
        permits: requests in flight at most.
    """

    def __init__(self, send: Send, *, permits: int) -> None:
        self.in_flight = 0
        self._send = send
        self._permits = permits
        self._asked: list[_Asked] = []
        self._requests: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Questions that wait for a permit."""
        return len(self._asked)

    async def embed(self, kind: Kind, texts: Sequence[str]) -> Answer:
        """Vectors of the texts; tokens and times are those of the whole request.

        Raises:
            Whatever the request raises; a text at fault is the fault of who sent it only.
        """
        asked = _Asked(kind, texts, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        self._depart()
        try:
            return await asked.answer
        finally:
            if asked in self._asked:
                self._asked.remove(asked)

    async def close(self) -> None:
        """Give up what is in flight; nothing is sent any more."""
        self._permits = 0
        for asked in self._asked:
            asked.answer.cancel()
        for request in self._requests:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)

    def _depart(self) -> None:
        while self._asked and self.in_flight < self._permits:
            self.in_flight += 1
            request = asyncio.create_task(self._carry(self._next()))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    def _next(self) -> list[_Asked]:
        """Those that go together, the longest waiting among them."""
        kind = self._asked[0].kind
        together = [asked for asked in self._asked if asked.kind == kind][:LARGEST]
        self._asked = [asked for asked in self._asked if asked not in together]
        return together

    async def _carry(self, together: list[_Asked]) -> None:
        try:
            await self._exchange(together)
        finally:
            self.in_flight -= 1
            for asked in together:
                asked.answer.cancel()  # those that still have no answer
            self._depart()

    async def _exchange(self, together: list[_Asked]) -> None:
        texts = [text for asked in together for text in asked.texts]
        try:
            answer = await self._send(together[0].kind, texts)
        except Exception as error:  # whatever it is, those who wait must hear of it
            if isinstance(error, ContentError) and len(together) > 1:
                for asked in together:
                    await self._exchange([asked])
            else:
                _fail(together, error)
        else:
            _deal(together, answer)


def _fail(together: Sequence[_Asked], error: Exception) -> None:
    for asked in together:
        if not asked.answer.done():
            asked.answer.set_exception(error)


def _deal(together: Sequence[_Asked], answer: Answer) -> None:
    """Give each the rows of its own texts."""
    end = 0
    for asked in together:
        start, end = end, end + len(asked.texts)
        if not asked.answer.done():
            dead = tuple(row - start for row in answer.dead if start <= row < end)
            rows = answer.matrix[start:end].copy()  # a view would keep all of them
            asked.answer.set_result(replace(answer, matrix=rows, dead=dead))
