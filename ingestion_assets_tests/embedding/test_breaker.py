import logging

import pytest

from ingestion_assets.embedding.breaker import REMEMBERED, Breaker, Phase


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("http://gpu1:11434", failures=3, seconds=30, clock=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed("refused")


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert breaker.closed
    fail(breaker, 1)
    assert not breaker.closed
    assert breaker.state().phase is Phase.OPEN


def test_a_success_starts_the_count_again(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.closed


def test_one_canary_is_sent_when_the_time_has_come(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 29
    assert breaker.canary_in == 1
    assert not breaker.probe()
    clock.now += 1
    assert breaker.canary_in == 0
    assert [breaker.probe(), breaker.probe()] == [True, False]
    assert breaker.state().phase is Phase.HALF_OPEN
    assert not breaker.closed


def test_the_canary_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 30
    breaker.probe()
    breaker.canary_succeeded()
    fail(breaker, 2)
    assert breaker.closed


def test_a_failed_canary_opens_it_for_as_long_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 30
    breaker.probe()
    breaker.canary_failed("refused")
    assert not breaker.probe()
    assert breaker.canary_in == 30
    clock.now += 30
    assert breaker.probe()


def test_late_answers_decide_nothing(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    breaker.succeeded()
    assert not breaker.closed
    clock.now += 30
    breaker.probe()
    breaker.succeeded()
    fail(breaker, 5)
    assert breaker.state().phase is Phase.HALF_OPEN


def test_a_closed_one_wants_no_canary(breaker: Breaker, clock: Clock) -> None:
    clock.now += 1000
    assert not breaker.probe()


def test_it_can_be_tripped(breaker: Breaker) -> None:
    breaker.trip("dead vectors")
    breaker.trip("again")
    assert not breaker.closed
    assert breaker.state().opened == 1


def test_state_tells_counts_and_transitions_with_time_and_cause(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.succeeded()
    clock.now += 5
    fail(breaker, 3)
    clock.now += 30
    breaker.probe()
    breaker.canary_succeeded()
    state = breaker.state()
    assert (state.failures, state.succeeded, state.failed, state.opened) == (0, 2, 3, 1)
    assert [(t.at, t.phase) for t in state.transitions] == [
        (5, Phase.OPEN),
        (35, Phase.HALF_OPEN),
        (35, Phase.CLOSED),
    ]
    assert state.transitions[0].cause == "3 failures in a row, the last: refused"


def test_transitions_are_remembered_within_bounds(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    for _ in range(100):
        clock.now += 30
        breaker.probe()
        breaker.canary_failed("refused")
    assert len(breaker.state().transitions) == REMEMBERED
    assert breaker.state().opened == 101


def test_every_transition_is_logged_once(
    breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fail(breaker, 10)
    clock.now += 30
    breaker.probe()
    breaker.canary_succeeded()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert "http://gpu1:11434 is open: 3 failures in a row" in caplog.text


def test_requests_that_were_under_way_together_fail_as_one() -> None:
    now = [100.0]
    breaker = Breaker("h", failures=2, clock=lambda: now[0])
    now[0] = 101.0
    for _ in range(8):
        breaker.failed("connection reset", sent=100.5)
    assert breaker.closed
    assert (breaker.state().failures, breaker.state().failed) == (1, 8)
    now[0] = 103.0
    breaker.failed("refused", sent=102.0)
    assert not breaker.closed
