import pytest

from ingestion_assets.errors import StoreError, StoreUnavailableError
from ingestion_assets.worker.patience import LONGEST_PAUSE, Patience, pause


class _Flaky:
    """Fails so often before it succeeds."""

    def __init__(self, failures: int, error: type[StoreError] = StoreUnavailableError) -> None:
        self.calls = 0
        self._failures, self._error = failures, error

    def __call__(self, answer: str) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error("away")
        return answer


async def test_a_call_is_repeated_until_postgres_is_back():
    patience, flaky = Patience(), _Flaky(2)
    assert await patience.call(flaky, "here") == "here"
    assert (flaky.calls, patience.repeated) == (3, 2)


async def test_what_will_not_pass_is_raised_at_once():
    flaky = _Flaky(1, StoreError)
    with pytest.raises(StoreError):
        await Patience().call(flaky, "here")
    assert flaky.calls == 1


async def test_patience_has_an_end():
    with pytest.raises(StoreUnavailableError):
        await Patience(0).call(_Flaky(99), "here")


def test_pauses_grow_to_the_longest():
    assert pause(1) < pause(4) < pause(8)
    assert pause(1000) <= LONGEST_PAUSE
