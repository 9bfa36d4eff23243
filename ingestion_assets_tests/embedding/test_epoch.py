from ingestion_assets.embedding.epoch import Epoch, Throughput


def bursts(epoch: Epoch, slots: int, seconds: float, most: int) -> Throughput | None:
    """What an epoch finds when answers come in bursts, as from slots in step."""
    for n in range(1, most + 1):
        for _ in range(slots):
            if (found := epoch.answered(10, seconds, n * seconds)) is not None:
                return found
    return None


def test_bursts_do_not_distort_the_rate() -> None:
    found = bursts(Epoch(0.0, answers=8), slots=4, seconds=0.5, most=9)
    assert found == Throughput(rate=80.0, pace=0.05, in_flight=4.0)


def test_requests_sent_before_the_epoch_do_not_end_its_first_round() -> None:
    epoch = Epoch(0.0, answers=2)
    assert epoch.answered(10, 9.0, 1.0) is None  # of an older queue
    assert epoch.answered(10, 2.0, 2.0) is None  # ends the first round
    assert epoch.answered(10, 2.0, 3.0) is None
    assert epoch.answered(10, 2.0, 4.0) == Throughput(rate=10.0, pace=0.2, in_flight=2.0)


def test_a_settled_limit_is_measured_from_the_first_round() -> None:
    epoch = Epoch(0.0, answers=2, settled=True)
    assert epoch.answered(10, 2.0, 1.0) is None
    assert epoch.answered(10, 2.0, 2.0) == Throughput(rate=10.0, pace=0.2, in_flight=2.0)


def test_an_epoch_takes_enough_answers() -> None:
    assert bursts(Epoch(0.0, answers=8), slots=1, seconds=1.0, most=8) is None
    assert bursts(Epoch(0.0, answers=8), slots=1, seconds=1.0, most=9) is not None
