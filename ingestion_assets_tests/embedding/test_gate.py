import asyncio

from ingestion_assets.embedding.gate import Gate


async def test_who_wants_to_be_alone_waits_for_all_under_way() -> None:
    gate = Gate()
    gate.enter(3)

    async def alone() -> int:
        async with gate.alone():
            return gate.texts

    waiting = asyncio.create_task(alone())
    await asyncio.sleep(0)
    assert gate.closed
    assert not waiting.done()
    with gate.leaving(3):
        assert gate.texts == 3
    assert await waiting == 0
    assert not gate.closed


async def test_nobody_passes_while_somebody_is_alone() -> None:
    gate = Gate()
    async with gate.alone():
        passing = asyncio.create_task(gate.passed())
        await asyncio.sleep(0)
        assert gate.texts == 0
    await passing
    assert gate.texts == 1
