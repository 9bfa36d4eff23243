import inspect
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ingestion_assets.embedding.classify import Reply, Sent, classify
from ingestion_assets.errors import (
    ModelError,
    OllamaAnswerError,
    OllamaAuthError,
    OllamaBusyError,
    OllamaError,
    OllamaRequestError,
    OllamaTimeoutError,
    OllamaUnavailableError,
    PoisonTextError,
    RateLimitedError,
    RequestTooLargeError,
    RunnerUnreachableError,
    TextTooLongError,
)

SENT = Sent("http://127.0.0.1:11434", "/api/embed", "bge-m3", texts=32)
NOON = datetime(2026, 8, 21, 12, 0, 0, tzinfo=UTC)
RUNNER = 'Post "http://127.0.0.1:40123'


def reply(status: int, body: str | bytes = b"", **headers: str) -> Reply:
    raw = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, raw, NOON)


def error(text: str) -> bytes:
    return httpx.Response(200, json={"error": text}).content


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (f'do embedding request: {RUNNER}/v1/embeddings": EOF', PoisonTextError),
        (f'{RUNNER}/embedding": EOF', PoisonTextError),
        (f'{RUNNER}/v1/embeddings": unexpected EOF', PoisonTextError),
        (
            f'{RUNNER}/tokenize": dial tcp 127.0.0.1:40123: connect: connection refused',
            RunnerUnreachableError,
        ),
        (
            f'{RUNNER}/tokenize": dial tcp 127.0.0.1:40123: connectex: No connection could be made',
            RunnerUnreachableError,
        ),
        (f'{RUNNER}/v1/embeddings": read: connection reset by peer', RunnerUnreachableError),
        (f'{RUNNER}/v1/embeddings": write: broken pipe', RunnerUnreachableError),
        ("unexpected server status: loading model", RunnerUnreachableError),
        ("context canceled", RunnerUnreachableError),
        ("no slots available after 10 retries", RunnerUnreachableError),
        ("llama-server process has terminated: signal: killed", RunnerUnreachableError),
        ("llama-server process has terminated: exit status 2", OllamaUnavailableError),
        ("timed out waiting for llama-server to start - ", OllamaUnavailableError),
        ("cudaMalloc failed: out of memory", RunnerUnreachableError),
        ("the input length exceeds the context length", TextTooLongError),
        ("input exceeds maximum context length and cannot be truncated further", TextTooLongError),
        ("input is too large to process. increase the physical batch size", TextTooLongError),
        ("embedding contains NaN or Inf values", PoisonTextError),
        ("failed to encode response: json: unsupported value: NaN", PoisonTextError),
        ("invalid input type", OllamaRequestError),
        ("unexpected EOF", OllamaRequestError),
        ("json: cannot unmarshal number into Go struct field", OllamaRequestError),
        ('option "num_ctx" must be of type integer', OllamaRequestError),
        ('time: missing unit in duration "-1"', OllamaRequestError),
        ("this model does not support embeddings", ModelError),
    ],
)
def test_the_body_decides_for_400_and_500(status: int, said: str, kind: type[Exception]) -> None:
    assert type(classify(reply(status, error(said)), SENT)) is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (301, "", OllamaRequestError),
        (200, "<html>Welcome</html>", OllamaAnswerError),
        (400, error("something new"), OllamaRequestError),
        (401, error("unauthorized"), OllamaAuthError),
        (403, "", OllamaAuthError),
        (404, error('model "bge-m3" not found, try pulling it first'), ModelError),
        (404, error("model 'bge-m3:latest' not found"), ModelError),
        (404, "404 page not found", OllamaRequestError),
        (405, "405 method not allowed", OllamaRequestError),
        (408, "", OllamaUnavailableError),
        (413, "<html>too large</html>", RequestTooLargeError),
        (429, error("slow down"), RateLimitedError),
        (429, error("you have reached your session usage limit"), OllamaRequestError),
        (499, error("request canceled"), OllamaUnavailableError),
        (500, error("something new"), OllamaUnavailableError),
        (501, error("This server does not support embeddings."), ModelError),
        (502, "<html>Bad Gateway</html>", OllamaUnavailableError),
        (503, error("server busy, please try again."), OllamaBusyError),
        (504, "", OllamaUnavailableError),
    ],
)
def test_the_status_decides_otherwise(
    status: int, body: str | bytes, kind: type[Exception]
) -> None:
    assert type(classify(reply(status, body), SENT)) is kind


def test_a_failing_request_without_texts_blames_no_text() -> None:
    preload = Sent(SENT.endpoint, SENT.path, SENT.model)
    for said in (f'{RUNNER}/x": EOF', "embedding contains NaN", "exceeds the context length"):
        failure = classify(reply(400, error(said)), preload)
        assert isinstance(failure, OllamaUnavailableError | OllamaRequestError)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("99999", 300.0),
        ("Fri, 21 Aug 2026 12:00:30 GMT", 30.0),
        ("Fri, 21 Aug 2026 11:00:00 GMT", 0.0),
        ("Fri, 21 Aug 2026 14:00:30 +0200", 30.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, seconds: float | None) -> None:
    for status in (429, 503):
        busy = classify(reply(status, retry_after=value), SENT)
        assert isinstance(busy, OllamaBusyError)
        assert busy.retry_after == seconds


def test_messages_name_status_body_and_remedy() -> None:
    missing = classify(reply(404, error('model "bge-m3" not found')), SENT)
    assert "404" in str(missing)
    assert "`ollama pull bge-m3`" in str(missing)
    assert "INGEST_BATCH_SIZE" in str(classify(reply(413), SENT))
    assert "'https://else.where/'" in str(
        classify(reply(307, location="https://else.where/"), SENT)
    )


def test_messages_quote_at_most_200_characters() -> None:
    assert len(str(classify(reply(500, "x" * 100_000), SENT))) < 400


def public_exceptions() -> list[type[Exception]]:
    members = [getattr(httpx, name) for name in httpx.__all__]
    return [m for m in members if inspect.isclass(m) and issubclass(m, Exception)]


def instance(kind: type[Exception]) -> Exception:
    known: dict[str, Any] = {
        "request": httpx.Request("POST", SENT.endpoint),
        "response": httpx.Response(500),
    }
    parameters = inspect.signature(kind.__init__).parameters.values()
    needed = [p for p in parameters if p.name != "self" and p.kind in (0, 1, 3)]
    named = {p.name: known.get(p.name, "it failed") for p in needed if p.default is p.empty}
    return kind(**named)


@pytest.mark.parametrize("kind", public_exceptions(), ids=lambda kind: kind.__name__)
def test_every_httpx_exception_maps(kind: type[Exception]) -> None:
    mapped = classify(instance(kind), SENT)
    assert isinstance(mapped, OllamaError)
    transient = (httpx.TimeoutException, httpx.NetworkError, httpx.ProxyError)
    if issubclass(kind, (*transient, httpx.RemoteProtocolError)):
        assert isinstance(mapped, OllamaUnavailableError)
    assert str(mapped).count(SENT.endpoint) == 1


def test_a_bad_certificate_is_not_retried() -> None:
    failure = classify(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), SENT)
    assert isinstance(failure, OllamaRequestError)
    assert "SSL_CERT_FILE" in str(failure)


@pytest.mark.parametrize("kind", [httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError])
def test_a_late_answer_is_told_from_none(kind: type[Exception]) -> None:
    assert type(classify(kind("late"), SENT)) is OllamaTimeoutError
    assert type(classify(httpx.ConnectTimeout("late"), SENT)) is OllamaUnavailableError
