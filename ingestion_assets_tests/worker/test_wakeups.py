"""Wake-ups on a clock that only sleeping moves."""

import asyncio

from ingestion_assets.worker.wakeups import LONGEST_PAUSE, Wakeups


class _Time:
    """A clock that notifications may happen on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.rate = 0.0  # notifications a second
        self.wakeups = Wakeups(1e-3, clock=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        for _ in range(round(self.rate * (self.now + seconds)) - round(self.rate * self.now)):
            self.wakeups.notify()
        self.now += seconds


async def test_a_single_notification_wakes_at_once():
    time = _Time()
    time.pass_by(1)
    time.wakeups.notify()
    await time.wakeups.next()
    assert time.slept == [0]


async def test_notifications_one_after_the_other_are_each_answered_at_once():
    time = _Time()
    time.rate = 5
    for _ in range(20):
        time.pass_by(0.2)
        await time.wakeups.next()
    assert time.slept == [0] * 20


async def test_a_storm_wakes_ever_less_often_and_then_twice_a_second():
    time = _Time()
    time.rate = 2_000
    while time.now < 5:
        time.pass_by(0.002)
        await time.wakeups.next()
    assert len(time.slept) < 16  # for 10,000 notifications
    assert time.slept[-1] == LONGEST_PAUSE


async def test_after_a_storm_a_single_notification_wakes_at_once_again():
    time = _Time()
    time.rate = 2_000
    for _ in range(8):
        await time.wakeups.next()
    time.rate = 0
    await time.wakeups.next()
    time.pass_by(1)
    time.wakeups.notify()
    await time.wakeups.next()
    assert time.slept[-1] == 0


async def test_without_a_notification_the_sweep_wakes():
    await asyncio.wait_for(_Time().wakeups.next(), 30)


async def test_what_is_notified_while_nobody_waits_wakes_the_next_one():
    wakeups = Wakeups(600)
    wakeups.notify()
    await asyncio.wait_for(wakeups.next(), 30)
