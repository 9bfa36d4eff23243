import json
import random

import numpy as np
import pytest

from ingestion_assets.pace import POINTS, Latencies, Timeline


def test_percentiles_are_near_the_true_ones() -> None:
    rng = random.Random(7)
    given = [rng.lognormvariate(-2, 1.5) for _ in range(10_000)]
    latencies = Latencies()
    for seconds in given:
        latencies.add(seconds)
    assert len(latencies) == len(given)
    assert latencies.mean == pytest.approx(np.mean(given))
    for q in (5, 50, 95, 99):
        assert latencies.percentile(q) == pytest.approx(np.percentile(given, q), rel=0.05)


def test_latencies_of_several_runs_add_up_by_way_of_json() -> None:
    one, other, both = Latencies(), Latencies(), Latencies()
    for seconds in (0.0, 0.001, 1.0, 400.0):
        one.add(seconds)
        other.add(2 * seconds)
        both.add(seconds)
        both.add(2 * seconds)
    one.update(Latencies(**json.loads(json.dumps(other.data()))))
    assert one.data() == both.data()


def test_no_latency_is_none() -> None:
    assert (len(Latencies()), Latencies().mean, Latencies().percentile(95)) == (0, 0.0, 0.0)


def test_every_step_is_timed_but_not_the_end() -> None:
    latencies = Latencies()
    assert list(latencies.timed("abc")) == ["a", "b", "c"]
    assert len(latencies) == 3


def test_work_is_spread_over_its_time() -> None:
    timeline = Timeline()
    timeline.add(0.0, 0.5, 40)
    timeline.add(0.25, 0.5, 10)
    assert timeline.width == 0.125
    assert timeline.rates[:4] == pytest.approx([80, 80, 120, 120])
    assert timeline.concurrency[:4] == pytest.approx([1, 1, 2, 2])


def test_nothing_is_lost_while_intervals_are_joined() -> None:
    timeline = Timeline()
    rng = random.Random(3)
    begins = [rng.uniform(0, 5_000) for _ in range(3_000)]
    for begin in begins:
        timeline.add(begin, begin + 20, 64)
    timeline.add(4_000, 4_000, 5)  # in no time
    assert len(timeline.done) <= POINTS
    assert sum(timeline.done) == pytest.approx(3_000 * 64 + 5)
    assert sum(timeline.busy) == pytest.approx(3_000 * 20, rel=1e-6)
    assert len(json.dumps(timeline.data())) < 4_000


def test_runs_that_overlap_are_added_at_their_time() -> None:
    one = Timeline()
    one.add(0, 10, 100)
    both = Timeline()
    both.add_all(0, one.data())
    both.add_all(5, one.data())
    at = [int(seconds / both.width) for seconds in (2, 7, 12)]
    assert [both.rates[i] for i in at] == pytest.approx([10, 20, 10])
    assert [both.concurrency[i] for i in at] == pytest.approx([1, 2, 1])
