from ingestion_assets.worker.pace import Pace


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def _elapsed(rate: float, batches: list[int]) -> float:
    clock = _Clock()
    pace = Pace(rate, clock=lambda: clock.now, sleep=clock.sleep)
    for texts in batches:
        await pace.wait(texts)
    return clock.now - 100


async def test_the_first_batch_does_not_wait_and_each_other_waits_for_the_one_before():
    assert await _elapsed(20, [10]) == 0
    assert await _elapsed(20, [10, 30, 1]) == 2


async def test_a_break_is_not_made_up_for():
    clock = _Clock()
    pace = Pace(10, clock=lambda: clock.now, sleep=clock.sleep)
    await pace.wait(10)
    clock.now += 60
    await pace.wait(10)
    await pace.wait(10)
    assert clock.now == 161


async def test_no_rate_is_no_limit():
    assert await _elapsed(0, [1000] * 10) == 0
