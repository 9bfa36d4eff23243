from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.errors import OllamaAnswerError, OllamaBusyError

AT = "http://127.0.0.1:11434"
BROKEN = OllamaAnswerError(AT, "broken")


def test_pauses_double_up_to_half_a_minute() -> None:
    backoff = Backoff(random=lambda: 1.0)
    assert [backoff.pause(n, BROKEN) for n in (1, 2, 3, 7, 5000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


def test_the_whole_pause_is_jitter() -> None:
    assert Backoff(random=lambda: 0.0).pause(3, BROKEN) == 0.0


def test_a_busy_server_is_given_what_it_asks_for_and_a_second_at_least() -> None:
    backoff = Backoff(random=lambda: 0.0)
    assert backoff.pause(1, OllamaBusyError(AT, "busy")) == 1.0
    assert backoff.pause(1, OllamaBusyError(AT, "busy", 7.0)) == 7.0
