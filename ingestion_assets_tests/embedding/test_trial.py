import pytest

from ingestion_assets.embedding.breaker import Breaker
from ingestion_assets.embedding.endpoint import Endpoint
from ingestion_assets.embedding.limiter import Limiter
from ingestion_assets.embedding.trial import Piece, Trial
from ingestion_assets.errors import OllamaUnavailableError, PoisonTextError, TextTooLongError
from ingestion_assets_tests.embedding.given import texts
from ingestion_assets_tests.embedding.served import Served

FAILURE = OllamaUnavailableError("gpu1", "500")


def verdicts(piece: Piece, retries: int = 4, *, unsteady: bool = False) -> str:
    """What one failure after the other makes of it: w wait, c ask the canary, g guilty."""
    trial = Trial(piece, retries)
    at = Endpoint(Served().client(), Limiter(), Breaker("gpu1"))
    said = ""
    while not said.endswith("g"):
        trial.in_vain.append((at, FAILURE))
        said += "g" if trial.guilty(unsteady=unsteady) else "c" if trial.suspicious else "w"
    return said


def test_a_list_is_guilty_the_second_time_and_part_of_one_at_once() -> None:
    assert verdicts(Piece(texts(32))) == "wg"
    assert verdicts(Piece(texts(16), suspect=True)) == "g"


def test_a_single_text_is_guilty_after_all_retries() -> None:
    assert verdicts(Piece(texts(1)), retries=4) == "wcccg"
    assert verdicts(Piece(texts(1), suspect=True), retries=2) == "wcg"
    assert verdicts(Piece(texts(1)), retries=0) == "g"


def test_a_server_that_fails_good_texts_too_has_to_fail_a_bad_one_more_often() -> None:
    assert verdicts(Piece(texts(1)), retries=1, unsteady=True) == "wcccg"
    assert verdicts(Piece(texts(2)), unsteady=True) == "wg"


def test_halves_are_as_suspect_as_the_whole() -> None:
    assert [len(half.texts) for half in Piece(texts(5)).halves()] == [3, 2]
    assert not any(half.suspect for half in Piece(texts(4)).halves())
    assert all(half.suspect for half in Piece(texts(4)).halves(suspect=True))
    assert all(half.suspect for half in Piece(texts(4), suspect=True).halves())


def test_a_text_is_condemned_the_second_time_and_one_that_is_too_long_at_once() -> None:
    trial = Trial(Piece(texts(1)), 4)
    trial.condemn(PoisonTextError("gpu1", "NaN"))
    with pytest.raises(PoisonTextError):
        trial.condemn(PoisonTextError("gpu1", "NaN"))
    with pytest.raises(TextTooLongError):
        Trial(Piece(texts(1)), 4).condemn(TextTooLongError("gpu1", "too long"))
