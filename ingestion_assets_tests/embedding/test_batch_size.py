import pytest

from ingestion_assets.embedding.batch_size import LEAST, PATIENCE, SLOW, BatchSize


def answering(size: BatchSize, per_text: float, requests: int) -> list[int]:
    """Requests of a server with so many seconds a text; the sizes they were sent with."""
    sizes = []
    for _ in range(requests):
        sizes.append(size.size)
        size.succeeded(size.size, size.size * per_text)
    return sizes


def broken_twice(size: BatchSize) -> BatchSize:
    size.failed()
    size.failed()
    return size


def test_a_fast_server_is_sent_the_maximum() -> None:
    assert set(answering(BatchSize(32), 0.002, 100)) == {32}


@pytest.mark.parametrize(("per_text", "expected"), [(0.25, 16), (0.5, 8), (30.0, LEAST)])
def test_a_slow_server_is_sent_as_much_as_it_answers_in_time(
    per_text: float, expected: int
) -> None:
    assert set(answering(BatchSize(32), per_text, 100)[5:]) == {expected}


def test_the_size_recovers_with_the_server() -> None:
    size = BatchSize(32)
    answering(size, 1.0, 5)
    assert answering(size, 0.002, 2 * PATIENCE + 1) == [8] * PATIENCE + [16] * PATIENCE + [32]


def test_requests_of_an_older_size_do_not_lower_it_again() -> None:
    size = BatchSize(64)
    for _ in range(8):
        size.succeeded(64, SLOW + 1)
    assert size.size == 32


def test_small_requests_do_not_raise_the_size() -> None:
    size = broken_twice(BatchSize(32))
    for _ in range(100):
        size.succeeded(1, 0.01)
    assert size.size == 16


def test_two_failures_in_a_row_halve_the_size() -> None:
    size = BatchSize(32)
    size.failed()
    size.succeeded(32, 0.1)
    size.failed()
    assert size.size == 32
    size.failed()
    assert size.size == 16


def test_a_size_that_broke_is_tried_again_ever_later() -> None:
    size = BatchSize(32)
    waits = []
    for _ in range(3):
        broken_twice(size)
        waits.append(answering(size, 0.002, 200).count(16))
    assert waits == [2 * PATIENCE, 4 * PATIENCE, 8 * PATIENCE]


@pytest.mark.parametrize(("maximum", "least"), [(1, 1), (4, 4), (8, 8), (12, 8), (32, 8)])
def test_the_size_stays_within_its_limits(maximum: int, least: int) -> None:
    size = BatchSize(maximum)
    for _ in range(10):
        broken_twice(size)
    assert size.size == least
    answering(size, 0.001, 5_000)
    assert size.size == maximum
