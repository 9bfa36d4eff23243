from typing import Any

import pytest

from ingestion_assets.cli.report import _spark
from ingestion_assets.cli.stages import Stage, add
from ingestion_assets.pace import Latencies, Timeline


def _run(started: float, seconds: float, texts: int, **more: Any) -> dict[str, Any]:
    latencies, course = Latencies(), Timeline()
    latencies.add(seconds)
    course.add(0, seconds, texts)
    return {
        "started": started,
        "seconds": seconds,
        "texts_embedded": texts,
        "bytes": 100,
        "retries": 1,
        "rate_limit_hits": 2,
        "latencies": latencies.data(),
        "course": course.data(),
        **more,
    }


def test_runs_one_after_another_and_side_by_side_count_their_time_once() -> None:
    stages: dict[str, Stage] = {}
    for started in (100.0, 105.0, 200.0):
        add(stages, {"embeddings": _run(started, 10.0, 50)})
    stage = stages["embeddings"]
    assert (stage.items, stage.seconds, stage.rate) == (150, 25.0, 6.0)
    assert (stage.bytes, stage.retries, stage.rate_limit_hits) == (300, 3, 6)
    assert max(stage.course().concurrency) == pytest.approx(2, abs=0.01)


def test_a_run_of_an_older_version_is_left_out() -> None:
    stages: dict[str, Stage] = {}
    add(stages, {"embeddings": {"texts_embedded": 5}})
    assert stages == {}


@pytest.mark.parametrize("n", [1, 50, 51, 120])
def test_a_course_fits_into_a_line(n: int) -> None:
    assert len(_spark([0.0] * (n - 1) + [5.0])) <= 50
    assert _spark([0.0, 4.0, 8.0]) == " ▄█"
