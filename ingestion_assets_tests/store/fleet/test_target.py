from dataclasses import replace

import pytest

from ingestion_assets.store.fleet.target import LEAST, PROBE, Target, Window

NEW = Target(limit=LEAST, ceiling=1e6, resume=4, probing=2, lowest=0)
MOST = 64
TEXTS = 32


def after(target: Target, slots: int, *, rtt: float = 0.0, since: float = 0.0) -> Target:
    """The target after three rounds at a server that takes 0.1 s for a request in each slot."""
    in_flight = target.limit
    latency = max(rtt + 0.1, in_flight / slots * 0.1)
    elapsed = max(1.0, 3 * latency)
    requests = round(in_flight / latency * elapsed)
    window = Window(requests, requests * TEXTS, requests * latency, elapsed, since)
    changed = target.after(window, MOST)
    assert changed is not None
    return changed


def settled(slots: int, start: Target = NEW, *, rtt: float = 0.0) -> Target:
    for _ in range(30):
        start = after(start, slots, rtt=rtt)
    return start


@pytest.mark.parametrize("slots", [1, 4, 16])
@pytest.mark.parametrize("rtt", [0.0, 0.2])
def test_the_target_is_what_keeps_the_server_busy_and_little_more(slots, rtt):
    enough = slots * (0.1 + rtt) / 0.1
    assert enough <= settled(slots, rtt=rtt).limit <= 1.3 * max(LEAST, enough) + 1


@pytest.mark.parametrize(("before", "then"), [(1, 16), (16, 1)])
def test_another_capacity_is_followed(before, then):
    target = settled(before)
    probed = after(target, then, since=PROBE + 1)
    assert then <= settled(then, probed).limit <= 1.3 * max(LEAST, then) + 1


def test_a_probe_goes_back_to_where_it_was():
    target = settled(16)
    low = after(target, 16, since=PROBE + 1)
    assert low.limit == LEAST
    assert after(after(low, 16), 16).limit == target.limit


def test_nothing_is_learnt_from_too_little():
    target = settled(4)
    assert target.after(Window(0, 0, 0.0, 60.0, 0.0), MOST) is None
    assert target.after(Window(9, 9, 0.9, 0.5, 0.0), MOST) is None
    fed_little = Window(1, TEXTS, 0.1, 10.0, 0.0)
    assert target.after(fed_little, MOST) == replace(target, ceiling=MOST)


def test_what_met_congestion_is_come_back_to_slowly():
    target = replace(settled(16), limit=4.0, ceiling=4.0)
    limits = []
    for _ in range(40):
        target = after(target, 16)
        limits.append(target.limit)
    assert limits[0] <= 4.2
    assert limits == sorted(limits)
    assert limits[-1] > 16


def test_the_target_stays_below_what_may_be_sent_at_all():
    target = settled(16)
    busy = Window(requests=100, texts=12_800, seconds=40.0, elapsed=2.0, unprobed=0.0)
    held = target.after(busy, 8)
    assert held is not None
    assert held.limit == 8
