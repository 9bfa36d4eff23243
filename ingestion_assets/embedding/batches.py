"""Pages of texts in, batches of one request each out."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from ingestion_assets.changes import Text

MAX_BYTES = 128 * 1024  # of text in a request; beyond it, larger lists gain nothing
MAX_TOKENS = 16_384

Pages = Callable[[], Sequence[Text]]


async def batches(
    pages: Pages, admit: Callable[[Text], bool], *, size: Callable[[], int]
) -> AsyncGenerator[list[Text], None]:
    """Batches of admitted texts, in their order; a text over a limit makes a batch of its own.

    The next page is read in a thread while the current one is used. A page being read is waited
    for on every way out, because it uses a connection of the caller's.

    Args:
        pages: returns the next page each time, an empty one at the end; called by one thread at
            a time.
        size: texts in a batch at most, from now on.
    """
    upcoming = asyncio.create_task(asyncio.to_thread(pages))
    batch = _Batch()
    try:
        while page := await asyncio.shield(upcoming):
            upcoming = asyncio.create_task(asyncio.to_thread(pages))
            for text in filter(admit, page):
                weight = _bytes(text)
                if not batch.has_room(text, weight):
                    yield batch.take()
                batch.add(text, weight)
                if len(batch.texts) >= size():
                    yield batch.take()
        if batch.texts:
            yield batch.take()
    finally:
        await asyncio.gather(upcoming, return_exceptions=True)


def split(texts: Sequence[Text], size: int) -> Iterator[list[Text]]:
    """A page as batches of so many texts at most, with the limits and the order of `batches`."""
    batch = _Batch()
    for text in texts:
        weight = _bytes(text)
        if len(batch.texts) >= size or not batch.has_room(text, weight):
            yield batch.take()
        batch.add(text, weight)
    if batch.texts:
        yield batch.take()


class _Batch:
    def __init__(self) -> None:
        self.texts: list[Text] = []
        self.bytes = 0
        self.tokens = 0

    def has_room(self, text: Text, weight: int) -> bool:
        return not self.texts or (
            self.bytes + weight <= MAX_BYTES and self.tokens + text.tokens <= MAX_TOKENS
        )

    def add(self, text: Text, weight: int) -> None:
        self.texts.append(text)
        self.bytes += weight
        self.tokens += text.tokens

    def take(self) -> list[Text]:
        texts = self.texts
        self.texts, self.bytes, self.tokens = [], 0, 0
        return texts


def _bytes(text: Text) -> int:
    if text.text.isascii():
        return len(text.text)
    return len(text.text.encode("utf-8", "surrogatepass"))
