"""Texts and pages of them."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from uuid import UUID

from ingestion_assets.changes import Text
from ingestion_assets.embedding.backoff import Backoff


def text(n: int, content: str | None = None, tokens: int = 8) -> Text:
    """The n-th text; its id is n."""
    content = f"the {n}th text of many" if content is None else content
    digest = blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return Text(UUID(int=n), digest, content, tokens)


def texts(n: int, poison: Iterable[int] = ()) -> list[Text]:
    """n texts; those at the positions given hold the word poison."""
    bad = set(poison)
    return [text(i, f"poison {i}" if i in bad else None) for i in range(n)]


def paged(given: Sequence[Text], size: int = 500) -> Callable[[], Sequence[Text]]:
    """A reader of pages, as the store has one."""
    pages = iter([given[i : i + size] for i in range(0, len(given), size)])
    return lambda: next(pages, [])


async def _at_once(_: float) -> None:
    return None


AT_ONCE = Backoff(sleep=_at_once, random=lambda: 1.0)
