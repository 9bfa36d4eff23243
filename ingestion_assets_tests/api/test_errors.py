"""Every error has a status and says what went wrong in JSON."""

import pytest

from ingestion_assets import errors
from ingestion_assets.api.errors import CODES, failure, on_bug, on_ingestion_error, status_of

AT = "http://ollama"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.QueryError("x"), 422),
        (errors.ConfigError("x"), 422),
        (errors.TextTooLongError(AT, "x"), 422),
        (errors.OllamaTimeoutError(AT, "x"), 504),
        (errors.OllamaUnavailableError(AT, "x"), 503),
        (errors.OllamaBusyError(AT, "x"), 503),
        (errors.ModelError(AT, "m", "x"), 502),
        (errors.OllamaAuthError(AT, "x"), 502),
        (errors.StoreUnavailableError("x"), 503),
        (errors.StoreError("x"), 500),
    ],
)
async def test_our_errors_have_their_status(error, status):
    assert status_of(error) == status
    answer = await on_ingestion_error(None, error)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_retry_after_is_what_the_server_said():
    error = errors.RateLimitedError(AT, "x", retry_after=7.2)
    answer = await on_ingestion_error(None, error)  # type: ignore[arg-type]
    assert answer.headers["retry-after"] == "8"


async def test_our_own_faults_keep_their_details_to_the_log():
    for answer in (
        await on_bug(None, ValueError("password=x")),  # type: ignore[arg-type]
        await on_ingestion_error(None, errors.StoreError("password=x")),  # type: ignore[arg-type]
    ):
        assert answer.status_code == 500
        assert b"password" not in bytes(answer.body)


def test_codes_are_words():
    assert all(code.replace("_", "").isalpha() for code in CODES.values())
    assert bytes(failure(404, "gone").body) == b'{"error":"not_found","detail":"gone"}'
