import pytest

from ingestion_assets.embedding.stats import Stats


def test_a_failed_request_counts_without_a_latency() -> None:
    stats = Stats()
    with pytest.raises(OSError, match="lost"), stats.request(3):
        raise OSError("lost")
    assert (stats.requests, stats.texts, stats.in_flight, len(stats.latencies)) == (1, 3, 0, 0)
    assert (sum(stats.course.done), sum(stats.course.busy) > 0) == (0, True)


def test_the_peak_is_the_most_at_once() -> None:
    stats = Stats()
    with stats.request(1), stats.request(1):
        pass
    with stats.request(1):
        pass
    assert (stats.peak, stats.in_flight) == (2, 0)


def test_the_course_has_the_texts_that_were_answered() -> None:
    stats = Stats()
    for texts in (3, 4):
        with stats.request(texts):
            pass
    assert sum(stats.course.done) == pytest.approx(7)
