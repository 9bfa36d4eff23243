import asyncio

import numpy as np
import pytest

from ingestion_assets.changes import Vectors
from ingestion_assets.embedding import shelf as module
from ingestion_assets.embedding.delivery import Embedded, nothing
from ingestion_assets.embedding.shelf import STORE_BYTES, Shelf
from ingestion_assets.embedding.trust import Probation
from ingestion_assets_tests.embedding.given import texts

DIMENSIONS = STORE_BYTES // 4 // 10  # ten rows are a load

pytestmark = pytest.mark.anyio


def part(start: int, n: int) -> Embedded:
    """Texts with vectors that begin with the text's number."""
    matrix = np.zeros((n, DIMENSIONS), np.float32)
    matrix[:, 0] = range(start, start + n)
    return Embedded(texts(start + n)[start:], matrix, Probation(over=True))


async def taken(shelf: Shelf) -> list[Vectors]:
    shelf.close()
    return [load async for load in shelf.loads()]


@pytest.mark.parametrize("sizes", [[25], [7, 7, 7], [10, 10], [1] * 12, [3]])
async def test_every_vector_is_in_one_load_with_its_text(sizes):
    shelf, start = Shelf(DIMENSIONS), 0
    for size in sizes:
        shelf.put(part(start, size))
        start += size
    loads = await taken(shelf)
    assert [i.int for load in loads for i in load.ids] == list(range(start))
    assert [row[0] for load in loads for row in load.matrix] == list(range(start))
    assert [h for load in loads for h in load.hashes] == [t.content_hash for t in texts(start)]
    assert all(len(load.ids) == 10 for load in loads[:-1])


async def test_there_is_no_room_while_a_full_load_waits():
    shelf = Shelf(DIMENSIONS)
    shelf.put(part(0, 9))
    assert shelf.room.is_set()
    shelf.put(part(9, 12))
    assert not shelf.room.is_set()
    loads = shelf.loads()
    await anext(loads)
    assert not shelf.room.is_set()
    await anext(loads)
    assert shelf.room.is_set()


async def test_what_gets_old_is_taken_though_it_is_little(monkeypatch):
    monkeypatch.setattr(module, "STORE_SECONDS", 0.05)
    shelf = Shelf(DIMENSIONS)
    shelf.put(part(0, 1))
    async with asyncio.timeout(30):
        load = await anext(shelf.loads())
    assert len(load.ids) == 1


async def test_in_a_hurry_all_is_taken_as_it_comes():
    shelf = Shelf(DIMENSIONS)
    loads = shelf.loads()
    shelf.hurry()
    for n in range(3):
        shelf.put(part(n, 1))
        assert [i.int for i in (await anext(loads)).ids] == [n]


async def test_an_empty_part_has_a_load_be_taken():
    shelf = Shelf(DIMENSIONS)
    shelf.put(nothing(DIMENSIONS))
    (load,) = await taken(shelf)
    assert load.matrix.shape == (0, DIMENSIONS)
