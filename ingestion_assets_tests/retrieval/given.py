"""Hits for tests that need no database."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from ingestion_assets.retrieval.results import Hit

DOCUMENT = UUID(int=7)


def hit(text: str, **changes: Any) -> Hit:
    """A hit that says a text."""
    values: dict[str, Any] = {
        "score": 0.5,
        "chunk_id": uuid4(),
        "document_id": DOCUMENT,
        "source": "notes",
        "uri": "a.md",
        "title": "A",
        "heading": "A > B",
        "text": text,
        "start_offset": 0,
        "end_offset": len(text),
        "metadata": {},
        "distance": 0.2,
        "embedded": True,
        "vector_rank": 1,
        "text_rank": None,
        "retrieved_rank": 1,
    }
    return Hit(**({"generation": 1} | values | changes))


async def until(done: Callable[[], object], seconds: float = 30) -> None:
    """Return when something has become true."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)
