import asyncio
import threading
from contextlib import aclosing

import pytest

from ingestion_assets.changes import Text
from ingestion_assets.embedding import batches as module
from ingestion_assets.embedding.batches import Pages, batches, split
from ingestion_assets_tests.embedding.given import paged, text, texts


async def sizes(pages: Pages, size: int = 32) -> list[int]:
    return [len(batch) async for batch in batches(pages, lambda _: True, size=lambda: size)]


async def test_batches_keep_order_and_cross_pages() -> None:
    given = texts(10)
    made = [batch async for batch in batches(paged(given, 3), lambda _: True, size=lambda: 4)]
    assert [len(batch) for batch in made] == [4, 4, 2]
    assert [t for batch in made for t in batch] == given


async def test_bytes_limit_a_batch_and_a_huge_text_goes_alone() -> None:
    half, whole = "é" * (module.MAX_BYTES // 4), "x" * module.MAX_BYTES
    given = [text(0, half), text(1, half), text(2), text(3, whole + "x"), text(4)]
    assert await sizes(paged(given)) == [2, 1, 1, 1]


async def test_tokens_limit_a_batch() -> None:
    given = [text(i, tokens=module.MAX_TOKENS // 2) for i in range(5)]
    assert await sizes(paged(given)) == [2, 2, 1]


async def test_what_is_not_admitted_is_left_out() -> None:
    made = batches(paged(texts(6)), lambda t: t.chunk_id.int % 2 == 0, size=lambda: 9)
    assert [[t.chunk_id.int for t in batch] async for batch in made] == [[0, 2, 4]]


async def test_no_pages_make_no_batches() -> None:
    assert await sizes(paged([])) == []


async def test_an_error_of_the_pages_is_raised() -> None:
    def broken() -> list[Text]:
        raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        await sizes(broken)


async def test_a_page_being_read_is_waited_for() -> None:
    reading, finish, finished = threading.Event(), threading.Event(), threading.Event()
    first = iter([texts(2)])

    def slow() -> list[Text]:
        if (page := next(first, None)) is not None:
            return page
        reading.set()
        finish.wait(10)
        finished.set()
        return []

    async with aclosing(batches(slow, lambda _: True, size=lambda: 1)) as made:
        await anext(made)
        await asyncio.to_thread(reading.wait, 10)
        finish.set()
    assert finished.is_set()


async def test_the_size_may_change_on_the_way() -> None:
    sizes_to_come = iter([4, 4, 4, 4, 2, 2, 2, 2, 2, 2])
    made = batches(paged(texts(8)), lambda _: True, size=lambda: next(sizes_to_come))
    assert [len(batch) async for batch in made] == [4, 2, 2]


def test_a_page_is_split_by_count_bytes_and_tokens_in_its_order() -> None:
    assert [[t.chunk_id.int for t in batch] for batch in split(texts(5), 2)] == [
        [0, 1],
        [2, 3],
        [4],
    ]
    huge = [text(0), text(1, "x" * module.MAX_BYTES), text(2)]
    assert [len(batch) for batch in split(huge, 9)] == [1, 1, 1]
    heavy = [text(i, tokens=module.MAX_TOKENS // 2) for i in range(3)]
    assert [len(batch) for batch in split(heavy, 9)] == [2, 1]
    assert not list(split([], 9))
