import pytest

from ingestion_assets.embedding.stats import WINDOW, Stats


def test_a_failed_request_counts_without_a_latency() -> None:
    stats = Stats()
    with pytest.raises(OSError, match="lost"), stats.request(3):
        raise OSError("lost")
    assert (stats.requests, stats.texts, stats.in_flight, len(stats.latencies)) == (1, 3, 0, 0)
    assert stats.percentile(95) == 0.0


def test_the_peak_is_the_most_at_once() -> None:
    stats = Stats()
    with stats.request(1), stats.request(1):
        pass
    with stats.request(1):
        pass
    assert (stats.peak, stats.in_flight) == (2, 0)


def test_latencies_are_bounded() -> None:
    stats = Stats()
    stats.latencies.extend(range(2 * WINDOW))
    assert len(stats.latencies) == WINDOW
    assert stats.percentile(50) == pytest.approx(1.5 * WINDOW, abs=1)
