"""A failed exchange with Ollama in, one typed error out; nothing else reads a status code."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import orjson

from ingestion_assets.errors import (
    ModelError,
    OllamaAnswerError,
    OllamaAuthError,
    OllamaBusyError,
    OllamaError,
    OllamaRequestError,
    OllamaUnavailableError,
    PoisonTextError,
    RequestTooLargeError,
    TextTooLongError,
)

LONGEST_WAIT = 300.0  # seconds; a Retry-After beyond it is cut to it
LONGEST_QUOTE = 200  # characters of a body that a message repeats


@dataclass(frozen=True, slots=True)
class Sent:
    """What was asked, as far as it decides what a failure means.

    Attributes:
        texts: texts in the request; 0 when none can be to blame.
    """

    endpoint: str
    path: str
    model: str = ""
    texts: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer other than 200, or a 200 that is not the expected one.

    Attributes:
        headers: names in lower case.
        received: when it came, to read a Retry-After date against.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    received: datetime


_Rule = Callable[[Sent, str], OllamaError]


def classify(failure: Exception | Reply, sent: Sent) -> OllamaError:
    """The one meaning of a failure; the table is §10 of the reference on Ollama."""
    if isinstance(failure, Reply):
        return _from_reply(failure, sent)
    return _from_exception(failure, sent)


def _from_exception(exc: Exception, sent: Sent) -> OllamaError:
    name = type(exc).__name__
    if isinstance(exc, httpx.HTTPStatusError):
        answer = exc.response
        reply = Reply(answer.status_code, answer.headers, answer.content, datetime.now(UTC))
        return _from_reply(reply, sent)
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
        return _not_connected(exc, sent)
    if isinstance(exc, httpx.TimeoutException):
        return OllamaUnavailableError(
            sent.endpoint, f"no answer to {sent.path} in time ({name}); raise INGEST_TIMEOUT"
        )
    if isinstance(exc, httpx.ProxyError):
        return OllamaUnavailableError(sent.endpoint, f"{exc}; check HTTP_PROXY and NO_PROXY")
    if isinstance(exc, httpx.NetworkError | httpx.RemoteProtocolError):
        return OllamaUnavailableError(sent.endpoint, f"connection lost in {sent.path} ({name})")
    if isinstance(exc, httpx.DecodingError):
        return OllamaAnswerError(sent.endpoint, f"the answer to {sent.path} cannot be decoded")
    # Not quoted: a protocol error may repeat the headers, and with them the token.
    return OllamaRequestError(sent.endpoint, f"cannot send {sent.path} ({name}); see OLLAMA_HOST")


def _not_connected(exc: Exception, sent: Sent) -> OllamaError:
    if "[SSL" in str(exc):
        return OllamaRequestError(sent.endpoint, f"{exc}; set SSL_CERT_FILE, or use http://")
    return OllamaUnavailableError(
        sent.endpoint, f"cannot connect ({exc}); start it with `ollama serve` or set OLLAMA_HOST"
    )


def _from_reply(reply: Reply, sent: Sent) -> OllamaError:
    said = _said(reply.body)
    quoted = f"{sent.path} answered {reply.status} {said[:LONGEST_QUOTE]!r}"
    if reply.status in (400, 500):
        for pattern, rule in _BODY_RULES:
            if pattern.search(said):
                return rule(sent, quoted)
    if reply.status == 404 and re.search(r"model .*not found", said):
        return _model_missing(sent, quoted)
    if reply.status in (429, 503):
        return _busy(reply, said, sent, quoted)
    if rule_of_status := _STATUS_RULES.get(reply.status):
        return rule_of_status(sent, quoted)
    if reply.status >= 500:
        return _gone(sent, quoted)
    if 300 <= reply.status < 400:
        return _redirected(reply, sent, quoted)
    if reply.status < 300:
        return OllamaAnswerError(sent.endpoint, f"{quoted}; is OLLAMA_HOST really an Ollama?")
    return OllamaRequestError(sent.endpoint, quoted)


def _said(body: bytes) -> str:
    """The error text of a JSON body, else the body itself, on one line."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return " ".join(body[:4096].decode("utf-8", "replace").split())
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    message = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(message).split())


def _busy(reply: Reply, said: str, sent: Sent, quoted: str) -> OllamaError:
    if "usage limit" in said:
        return OllamaRequestError(sent.endpoint, f"{quoted}; the account's quota is used up")
    wait = _retry_after(reply)
    return OllamaBusyError(sent.endpoint, f"{quoted}; it is overloaded, lower INGEST_WORKERS", wait)


def _retry_after(reply: Reply) -> float | None:
    """Seconds from a Retry-After of seconds or an HTTP date; none if absent or malformed."""
    value = reply.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    wait = (until.replace(tzinfo=until.tzinfo or UTC) - reply.received).total_seconds()
    return min(max(wait, 0.0), LONGEST_WAIT)


def _redirected(reply: Reply, sent: Sent, quoted: str) -> OllamaError:
    to = reply.headers.get("location", "")[:LONGEST_QUOTE]
    return OllamaRequestError(
        sent.endpoint, f"{quoted}, a redirect to {to!r}; set OLLAMA_HOST to the final address"
    )


def _gone(sent: Sent, quoted: str) -> OllamaError:
    return OllamaUnavailableError(sent.endpoint, f"{quoted}; see the log of `ollama serve`")


def _died(sent: Sent, quoted: str) -> OllamaError:
    """The runner died during the request; with texts in it, one of them may be the cause.

    Bisecting is also the retry: if the cause was another request, both halves pass.
    """
    if not sent.texts:
        return _gone(sent, quoted)
    return PoisonTextError(sent.endpoint, f"{quoted}: the runner died of {_count(sent)}")


def _too_long(sent: Sent, quoted: str) -> OllamaError:
    if not sent.texts:
        return OllamaRequestError(sent.endpoint, f"{quoted}; num_ctx is too small")
    return TextTooLongError(
        sent.endpoint, f"{quoted}: {_count(sent)} too long; lower INGEST_CHUNK_TOKENS"
    )


def _not_a_number(sent: Sent, quoted: str) -> OllamaError:
    if not sent.texts:
        return _gone(sent, quoted)
    return PoisonTextError(sent.endpoint, f"{quoted}: NaN for {_count(sent)}")


def _request_too_large(sent: Sent, quoted: str) -> OllamaError:
    return RequestTooLargeError(
        sent.endpoint, f"{quoted}: {_count(sent)} over the proxy's limit; lower INGEST_BATCH_SIZE"
    )


def _our_fault(sent: Sent, quoted: str) -> OllamaError:
    return OllamaRequestError(sent.endpoint, f"{quoted}; the request is malformed")


def _model_missing(sent: Sent, quoted: str) -> OllamaError:
    return ModelError(sent.endpoint, sent.model, f"{quoted}; run `ollama pull {sent.model}`")


def _cannot_embed(sent: Sent, quoted: str) -> OllamaError:
    remedy = "set INGESTION_MODEL to an embedding model"
    return ModelError(sent.endpoint, sent.model, f"{quoted}: {sent.model!r} cannot embed; {remedy}")


def _no_such_route(sent: Sent, quoted: str) -> OllamaError:
    return OllamaRequestError(
        sent.endpoint, f"{quoted}; OLLAMA_HOST is not an Ollama, or one older than 0.3"
    )


def _unauthorized(sent: Sent, quoted: str) -> OllamaError:
    return OllamaAuthError(sent.endpoint, f"{quoted}; set OLLAMA_API_KEY")


def _forbidden(sent: Sent, quoted: str) -> OllamaError:
    return OllamaAuthError(
        sent.endpoint,
        f"{quoted}; check OLLAMA_API_KEY, and that the proxy sends a Host header Ollama accepts",
    )


def _count(sent: Sent) -> str:
    return "this text" if sent.texts == 1 else f"one of {sent.texts} texts"


# Since 0.30 nearly every failure inside is a 400, before it was a 500: only the body tells. The
# order matters: an error that names the runner may repeat the words of another.
_BODY_RULES: tuple[tuple[re.Pattern[str], _Rule], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), rule)
    for pattern, rule in (
        (r"(do embedding request|post \"http://127\.0\.0\.1:).*: eof", _died),
        (
            r"dial tcp|connection refused|connectex|connection reset|broken pipe|out of memory"
            r"|unexpected server status|context canceled|no slots available"
            r"|process has terminated|timed out waiting",
            _gone,
        ),
        (
            r"context length|too large to process|physical batch size|cannot be truncated",
            _too_long,
        ),
        (r"contains nan or inf|unsupported value: nan", _not_a_number),
        (r"does not support embeddings", _cannot_embed),
        (
            r"invalid input type|cannot unmarshal|invalid character|unexpected eof"
            r"|missing request body|^option \"|missing unit in duration|unsupported type"
            r"|invalid model name",
            _our_fault,
        ),
    )
)
_STATUS_RULES: Mapping[int, _Rule] = {
    401: _unauthorized,
    403: _forbidden,
    404: _no_such_route,
    405: _no_such_route,
    408: _gone,
    413: _request_too_large,
    499: _gone,
    501: _cannot_embed,
}
