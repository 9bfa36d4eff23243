from collections.abc import Callable

import pytest

from ingestion_assets.embedding.climb import PATIENCE, Climb
from ingestion_assets.embedding.epoch import Throughput


def plateau(knee: int, rate: float = 100.0) -> Callable[[int], float]:
    """A server of that many slots: texts/s at a limit."""
    return lambda limit: rate * min(limit, knee)


def epochs(climb: Climb, rate: Callable[[int], float], n: int) -> list[int]:
    """Let n epochs pass; the limits they were measured at."""
    limits = []
    for _ in range(n):
        limits.append(climb.limit)
        found = rate(climb.limit)
        climb.measured(Throughput(found, climb.limit / found, climb.limit))
    return limits


def settled(limits: list[int]) -> int:
    """The limit used most."""
    return max(set(limits), key=limits.count)


def test_the_limit_doubles_while_that_pays() -> None:
    assert epochs(Climb(4, 64), plateau(64), 6) == [4, 8, 16, 32, 64, 64]


@pytest.mark.parametrize("knee", [2, 3, 4, 7, 16, 50])
def test_settles_at_the_knee(knee: int) -> None:
    limits = epochs(Climb(4, 64), plateau(knee), 150)
    assert knee <= settled(limits[50:]) <= 1.3 * knee


def test_a_settled_climb_tries_seldom() -> None:
    limits = epochs(Climb(4, 64), plateau(4), 200)[100:]
    assert sum(limit != 4 for limit in limits) <= 100 / PATIENCE


@pytest.mark.parametrize(("before", "after"), [(4, 16), (16, 4), (2, 30), (30, 2)])
def test_a_change_is_followed_within_some_epochs(before: int, after: int) -> None:
    climb = Climb(4, 64)
    epochs(climb, plateau(before), 60)
    limits = epochs(climb, plateau(after), 60)
    assert after <= settled(limits[40:]) <= 1.5 * after


def test_a_long_queue_is_left_in_large_steps() -> None:
    climb = Climb(4, 64)
    epochs(climb, plateau(64), 60)
    assert min(epochs(climb, plateau(2), 14)) == 2


def test_a_slower_server_keeps_its_limit() -> None:
    climb = Climb(4, 64)
    epochs(climb, plateau(8), 60)
    assert settled(epochs(climb, plateau(8, rate=5.0), 60)) >= 8


def test_a_worse_trial_is_taken_back_at_once() -> None:
    climb = Climb(8, 64)
    epochs(climb, plateau(8), 3)
    assert climb.limit == 8 - 1  # no queue is known of yet, so a lower limit is tried
    epochs(climb, plateau(8), 1)
    assert climb.limit == 8


def test_one_lucky_epoch_does_not_lower_the_limit() -> None:
    climb = Climb(8, 64)
    epochs(climb, plateau(8), 3)
    epochs(climb, lambda _: 800.0, 1)
    assert climb.limit == 7
    epochs(climb, plateau(8), 1)
    assert climb.limit == 8


@pytest.mark.parametrize(("factor", "limit"), [(0.7, 5), (0.5, 4), (0.01, 1)])
def test_backing_off_is_immediate(factor: float, limit: int) -> None:
    climb = Climb(8, 64)
    climb.back_off(factor)
    assert climb.limit == limit


def test_a_refused_limit_is_only_tried_again_after_patience() -> None:
    climb = Climb(8, 64)
    climb.back_off(0.5)
    limits = epochs(climb, plateau(64), PATIENCE)
    assert max(limits) == 7
    assert max(epochs(climb, plateau(64), 3 * PATIENCE)) == 64
