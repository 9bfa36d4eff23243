from collections.abc import Callable
from dataclasses import replace

import pytest

from ingestion_assets.embedding.limiter import LONGEST_PAUSE, WINDOW, Congestion, Limiter
from ingestion_assets_tests.embedding.simulation import Fixed, Server, Simulation, compare

COSTS = [(0.008, 0.002), (0.040, 0.004)]  # seconds a request and a text
ONE = Server(slots=1)
FOUR = Server(slots=4)
SIXTEEN = Server(slots=16)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def taking(limiter: Limiter) -> int:
    """Take every permit there is; how many there were."""
    taken = 0
    while limiter.has_room():
        limiter.take()
        taken += 1
    return taken


def answering(limiter: Limiter, clock: Clock, latency: Callable[[int], float], rounds: int) -> None:
    """Rounds of a server that answers all requests in flight at once."""
    for _ in range(rounds):
        n = taking(limiter)
        clock.now += latency(n)
        for _ in range(n):
            limiter.succeeded(32, latency(n))


@pytest.mark.parametrize("cost", COSTS, ids=["8+2 ms", "40+4 ms"])
@pytest.mark.parametrize("rtt", [0.002, 0.2])
@pytest.mark.parametrize(("slots", "maximum"), [(1, 32), (4, 32), (16, 32), (16, 64), (16, 8)])
def test_settles_within_5_per_cent_of_the_best_fixed_limit(
    slots: int, maximum: int, rtt: float, cost: tuple[float, float]
) -> None:
    server = Server(slots, rtt, *cost)
    assert compare(server, maximum=maximum).ratio >= 0.95


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("rtt", [0.002, 0.2])
@pytest.mark.parametrize("slots", [1, 4, 16])
def test_settles_as_well_when_latency_jitters(slots: int, rtt: float, seed: int) -> None:
    server = Server(slots, rtt, jitter=0.1)
    assert compare(server, maximum=32, requests=400, seed=seed).ratio >= 0.95


@pytest.mark.parametrize("rtt", [0.002, 0.2])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ONE, FOUR),
        (FOUR, ONE),
        (ONE, SIXTEEN),
        (SIXTEEN, ONE),
        (FOUR, replace(FOUR, per_request=0.064, per_text=0.016)),
        (replace(FOUR, per_request=0.064, per_text=0.016), FOUR),
    ],
    ids=["1 to 4", "4 to 1", "1 to 16", "16 to 1", "slower", "faster"],
)
def test_follows_a_change_in_the_middle_of_a_run(before: Server, after: Server, rtt: float) -> None:
    changes = {400: replace(after, rtt=rtt)}
    found = compare(replace(before, rtt=rtt), maximum=32, requests=800, changes=changes, first=600)
    assert found.ratio >= 0.95


def test_comes_back_when_slots_come_and_go() -> None:
    def play(limiter: bool) -> tuple[float, float]:
        simulation = Simulation(ONE, changes={400: FOUR, 800: ONE})
        permits = Limiter(clock=simulation.clock) if limiter else Fixed(8)
        run = simulation.play(permits, 1200)
        return run.rate(600, 799), run.rate(1000)

    (four, one), (best_four, best_one) = play(limiter=True), play(limiter=False)
    assert four >= 0.95 * best_four
    assert one >= 0.95 * best_one


def test_two_in_flight_are_found_to_be_enough_for_one_slot() -> None:
    assert 2 <= compare(ONE, maximum=8).limit < 2.5


def test_the_queue_is_let_go_when_slots_are_lost() -> None:
    found = compare(SIXTEEN, maximum=64, requests=800, changes={400: ONE}, first=600)
    assert found.limit < 5


def test_a_queue_that_is_still_filling_does_not_pass_for_throughput() -> None:
    simulation = Simulation(replace(FOUR, rtt=0.2))  # kept busy by 15.1
    limiter = Limiter(maximum=64, clock=simulation.clock)
    simulation.play(limiter, 200)
    assert limiter.limit <= 24  # of the 32 that the first rounds led to


@pytest.mark.parametrize(("slots", "rounds"), [(8, 1), (16, 2)])
def test_idle_slots_are_filled_within_the_first_rounds(slots: int, rounds: int) -> None:
    simulation = Simulation(replace(SIXTEEN, slots=slots))
    limiter = Limiter(maximum=16, clock=simulation.clock)
    run = simulation.play(limiter, 100)
    filled = next(when for when, limit in run.limits if limit >= slots)
    assert filled <= 0.075 * rounds + 0.001  # seconds; a request takes 0.074


def test_the_first_rounds_are_not_fooled_by_one_slot() -> None:
    simulation = Simulation(replace(ONE, jitter=0.1))
    run = simulation.play(Limiter(maximum=16, clock=simulation.clock), 12)
    assert {limit for _, limit in run.limits[:12]} == {4}


def test_the_first_rounds_end_with_the_first_congestion() -> None:
    simulation = Simulation(replace(SIXTEEN, concurrent=5))
    limiter = Limiter(maximum=64, clock=simulation.clock)
    simulation.play(limiter, 40)
    assert limiter.state().highest <= 8


def test_latency_that_buys_throughput_is_accepted() -> None:
    crowded = replace(SIXTEEN, crowding=0.05)
    assert compare(crowded, maximum=32).ratio >= 0.95


def test_batches_of_all_sizes_do_not_mislead() -> None:
    def play(limit: int | None) -> float:
        sizes = [1, 4, 32, 32, 20]
        server = replace(FOUR, rtt=0.02)
        simulation = Simulation(server, texts=lambda n: sizes[n * n % 7 % 5])
        permits = Fixed(limit) if limit else Limiter(maximum=16, clock=simulation.clock)
        return simulation.play(permits, 600).rate(300)

    assert play(None) >= 0.95 * max(play(n) for n in range(1, 17))


def test_never_more_in_flight_than_the_limit_nor_the_maximum() -> None:
    simulation = Simulation(replace(SIXTEEN, rtt=0.2))
    limiter = Limiter(start=100, maximum=12, clock=simulation.clock)
    assert limiter.limit == 12
    run = simulation.play(limiter, 300)
    assert limiter.state().highest == max(limit for _, limit in run.limits) == 12
    assert limiter.in_flight <= 12


@pytest.mark.parametrize("maximum", [1, 2])
def test_a_small_maximum_is_kept_in_use(maximum: int) -> None:
    simulation = Simulation(FOUR)
    limiter = Limiter(maximum=maximum, clock=simulation.clock)
    run = simulation.play(limiter, 100)
    assert {limit for _, limit in run.limits} == {maximum}


def test_too_little_work_says_nothing_about_the_server() -> None:
    simulation = Simulation(FOUR, gap=0.06)  # 1.2 requests under way
    limiter = Limiter(clock=simulation.clock)
    run = simulation.play(limiter, 300)
    assert {limit for _, limit in run.limits} == {4}


@pytest.mark.parametrize(
    ("cause", "limit"),
    [(Congestion.RATE_LIMITED, 5), (Congestion.BUSY, 4), (Congestion.TIMEOUT, 4)],
)
def test_requests_in_flight_together_back_off_once(cause: Congestion, limit: int) -> None:
    limiter = Limiter(start=8, clock=Clock())
    for _ in range(taking(limiter)):
        limiter.congested(cause)
    assert (limiter.limit, limiter.in_flight, limiter.state().backoffs) == (limit, 0, 1)


def test_at_least_one_request_stays_allowed() -> None:
    limiter = Limiter(clock=Clock())
    for _ in range(20):
        for _ in range(taking(limiter)):
            limiter.congested(Congestion.TIMEOUT)
    assert (limiter.limit, limiter.has_room()) == (1, True)


def test_no_request_is_sent_before_retry_after_ends() -> None:
    clock = Clock()
    limiter = Limiter(clock=clock)
    limiter.take()
    limiter.take()
    limiter.congested(Congestion.RATE_LIMITED, 7.0)
    limiter.congested(Congestion.RATE_LIMITED, 3.0)
    assert (limiter.resumes_at(), limiter.has_room()) == (7.0, False)
    clock.now = 7.0
    assert (limiter.resumes_at(), limiter.has_room()) == (None, True)


def test_an_endless_retry_after_is_cut() -> None:
    limiter = Limiter(clock=Clock())
    limiter.take()
    limiter.congested(Congestion.RATE_LIMITED, 1e9)
    assert limiter.resumes_at() == LONGEST_PAUSE


def test_a_limit_of_a_proxy_is_found_and_mostly_respected() -> None:
    server = replace(SIXTEEN, concurrent=5, rtt=0.02)
    best = Simulation(server).play(Fixed(5), 600).rate(300)
    simulation = Simulation(server)
    run = simulation.play(Limiter(clock=simulation.clock), 600)
    refused = [when for when, _ in run.refused if when >= run.answers[300]]
    assert run.rate(300) >= 0.9 * best
    assert len(refused) <= 6


def test_a_full_queue_is_found_and_mostly_respected() -> None:
    server = replace(FOUR, queue=1)
    best = Simulation(server).play(Fixed(5), 600).rate(300)
    simulation = Simulation(server)
    run = simulation.play(Limiter(clock=simulation.clock), 600)
    refused = [when for when, _ in run.refused if when >= run.answers[300]]
    assert run.rate(300) >= 0.9 * best
    assert len(refused) <= 6


def test_throughput_recovers_when_429_ends() -> None:
    server = replace(SIXTEEN, concurrent=1, retry_after=2.0)
    simulation = Simulation(server, changes={30: SIXTEEN})
    run = simulation.play(Limiter(clock=simulation.clock), 400)
    assert run.refused
    assert run.rate(300) >= 0.95 * Simulation(SIXTEEN).play(Fixed(8), 400).rate(300)


def test_a_limit_that_makes_requests_time_out_is_left() -> None:
    slow = Server(per_request=1.0, per_text=0.2)  # 7.4 s each
    simulation = Simulation(slow, timeout=20.0)
    run = simulation.play(Limiter(clock=simulation.clock), 60)
    late = [when for when, _ in run.refused if when >= run.answers[30]]
    assert 0 < len(run.refused) <= 20
    assert len(late) <= 6


def test_content_failures_and_cancellations_are_no_signal() -> None:
    limiter = Limiter(clock=Clock())
    for _ in range(100):
        for _ in range(taking(limiter)):
            limiter.released()
    state = limiter.state()
    assert (state.limit, state.in_flight, state.backoffs, state.rate) == (4, 0, 0, 0.0)


def test_only_the_latest_latencies_are_kept() -> None:
    clock = Clock()
    limiter = Limiter(start=1, maximum=1, clock=clock)
    answering(limiter, clock, lambda _: 1.0, rounds=WINDOW)
    answering(limiter, clock, lambda _: 3.0, rounds=WINDOW)
    assert limiter.state().latency == 3.0


def test_the_state_tells_rate_and_latency() -> None:
    clock = Clock()
    limiter = Limiter(start=2, maximum=2, clock=clock)
    assert (limiter.state().rate, limiter.state().latency) == (0.0, 0.0)
    answering(limiter, clock, lambda n: 0.25 * n, rounds=20)
    assert limiter.state().rate == pytest.approx(128.0)
    assert limiter.state().latency == 0.5


def test_a_clock_that_stands_still_does_no_harm() -> None:
    limiter = Limiter(clock=Clock())
    for _ in range(100):
        for _ in range(taking(limiter)):
            limiter.succeeded(32, 0.0)
    assert limiter.limit == 4
