import time

import pytest

from ingestion_assets.embedding.outage import Outage
from ingestion_assets.errors import NoServerError, OllamaUnavailableError

REFUSED = OllamaUnavailableError("gpu1", "refused")


def test_an_outage_lasts_from_its_first_failure() -> None:
    outage = Outage(60)
    outage.check("gpu1")
    assert outage.ends_at is None
    outage.failed(REFUSED)
    first = outage.ends_at
    outage.failed(REFUSED)
    assert first == outage.ends_at
    assert first is not None
    assert 0 < first - time.monotonic() <= 60


def test_an_answer_ends_it() -> None:
    outage = Outage(0)
    outage.failed(REFUSED)
    outage.ended()
    outage.check("gpu1")


def test_it_is_given_up_at_the_deadline_with_the_latest_failure() -> None:
    outage = Outage(0)
    outage.failed(REFUSED)
    with pytest.raises(NoServerError, match=r"gpu1, gpu2: no answer for 0 s.*refused") as caught:
        outage.check("gpu1, gpu2")
    assert caught.value.__cause__ is REFUSED
