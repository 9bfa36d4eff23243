"""The runner loads late, unloads in time, and forgets what nobody waits for."""

import asyncio
import math

import pytest

from ingestion_assets.local.minilm import MiniLM
from ingestion_assets.local.runner import InputTooLongError, Options, Runner


async def test_keep_alive_of_zero_unloads_at_once():
    runner = Runner()
    await runner.load(Options())
    assert runner.loaded
    await runner.load(Options(keep_alive=0))
    await asyncio.sleep(0.01)
    assert not runner.loaded


async def test_an_endless_keep_alive_has_no_end():
    runner = Runner()
    await runner.load(Options(keep_alive=math.inf))
    assert runner.expires_at is None


async def test_the_model_stays_while_texts_are_embedded():
    runner = Runner()
    done = await runner.embed(["a"], Options(keep_alive=0))
    assert done.tokens == 3
    await asyncio.sleep(0.01)
    assert not runner.loaded


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (Options(context=2), "input after truncation exceeds"),
        (Options(context=2, truncate=False), "the input length exceeds"),
        (Options(context=-1), "input after truncation exceeds"),
    ],
)
async def test_a_context_without_room_is_refused(options, error):
    with pytest.raises(InputTooLongError, match=error):
        await Runner().embed(["a"], options)


async def test_cancelled_work_leaves_the_queue(monkeypatch):
    runs: list[int] = []
    run = MiniLM.run
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def counted(model, batch):
        runs.append(len(batch))
        if len(runs) == 3:
            loop.call_soon_threadsafe(begun.set)
        return run(model, batch)

    monkeypatch.setattr(MiniLM, "run", counted)
    runner = Runner()
    await runner.embed(["warm"], Options())
    work = asyncio.create_task(runner.embed(["word " * 200] * 400, Options()))
    await begun.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await runner.embed(["last"], Options())
    assert len(runs) < 20
