from ingestion_assets.embedding.ramp import Ramp


def answering(ramp: Ramp, limit: int, latencies: list[float], now: float = 0.0) -> list[bool]:
    """A round of requests sent together; what each of their answers led to."""
    for n in range(limit):
        ramp.sent(n + 1)
    return [ramp.answered(10, seconds, now + seconds, limit) for seconds in latencies]


def test_a_round_of_like_latencies_asks_for_more() -> None:
    ramp = Ramp(0.0)
    assert answering(ramp, 4, [1.0, 1.0, 1.1, 1.2]) == [False, False, False, True]
    assert ramp.pace == 4.3 / 40
    assert not ramp.over


def test_requests_that_wait_for_each_other_end_it() -> None:
    ramp = Ramp(0.0)
    assert not any(answering(ramp, 4, [1.0, 2.0, 3.0, 4.0]))
    assert (ramp.over, ramp.pace) == (True, 0.0)


def test_a_later_round_is_compared_with_the_fastest_request_of_all() -> None:
    ramp = Ramp(0.0)
    answering(ramp, 2, [1.0, 1.0])
    assert not any(answering(ramp, 4, [2.0] * 4, now=1.0))
    assert ramp.over


def test_a_round_with_too_little_work_ends_it() -> None:
    ramp = Ramp(0.0)
    ramp.sent(1)
    assert not any(ramp.answered(10, 1.0, 1.0 + n, 4) for n in range(4))
    assert ramp.over


def test_answers_of_an_earlier_round_do_not_count() -> None:
    ramp = Ramp(0.0)
    answering(ramp, 2, [1.0, 1.0])
    for n in range(4):
        ramp.sent(n + 1)
    early = [ramp.answered(10, 1.0, 1.5, 4) for _ in range(4)]
    assert not any(early)
    assert not ramp.over


def test_requests_sent_a_little_before_the_rounds_end_belong_to_the_next_one() -> None:
    ramp = Ramp(0.0)
    answering(ramp, 2, [1.0, 1.0])
    assert answering(ramp, 4, [1.0] * 4, now=0.95)[-1]
