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
    OllamaTimeoutError,
    OllamaUnavailableError,
    PoisonTextError,
    RateLimitedError,
    RequestTooLargeError,
    RunnerUnreachableError,
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


@dataclass(frozen=True, slots=True)
class _Case:
    """A reply to a request, and how a message tells of it."""

    sent: Sent
    reply: Reply
    said: str
    quoted: str


_Rule = Callable[[_Case], OllamaError]


def classify(failure: Exception | Reply, sent: Sent) -> OllamaError:
    """The one meaning of a failure; the table is §10 of the reference on Ollama."""
    if isinstance(failure, Reply):
        return _from_reply(failure, sent)
    for kinds, rule in _EXCEPTION_RULES:
        if isinstance(failure, kinds):
            return rule(failure, sent)
    return _not_sent(failure, sent)


def _from_reply(reply: Reply, sent: Sent) -> OllamaError:
    said = _said(reply.body)
    case = _Case(sent, reply, said, f"{sent.path}: {reply.status} {said[:LONGEST_QUOTE]!r}")
    if reply.status in (400, 500):
        for pattern, rule in _BODY_RULES:
            if pattern.search(said):
                return rule(case)
    by_class = _CLASS_RULES.get(reply.status // 100, _our_fault)
    return _STATUS_RULES.get(reply.status, by_class)(case)


def _said(body: bytes) -> str:
    """The error text of a JSON body, else the body itself, on one line."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return " ".join(body[:4096].decode("utf-8", "replace").split())
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    message = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(message).split())


def _not_connected(exc: Exception, sent: Sent) -> OllamaError:
    if "[SSL" in str(exc):
        return OllamaRequestError(sent.endpoint, f"{exc}; set SSL_CERT_FILE, or use http://")
    return OllamaUnavailableError(
        sent.endpoint, f"cannot connect ({exc}); start it with `ollama serve` or set OLLAMA_HOST"
    )


def _timed_out(exc: Exception, sent: Sent) -> OllamaError:
    kind = type(exc).__name__
    return OllamaTimeoutError(
        sent.endpoint, f"no answer to {sent.path} in time ({kind}); raise INGEST_TIMEOUT"
    )


def _lost(exc: Exception, sent: Sent) -> OllamaError:
    kind = type(exc).__name__
    return OllamaUnavailableError(sent.endpoint, f"connection lost during {sent.path} ({kind})")


def _no_proxy(exc: Exception, sent: Sent) -> OllamaError:
    return OllamaUnavailableError(sent.endpoint, f"{exc}; check HTTP_PROXY and NO_PROXY")


def _not_decoded(exc: Exception, sent: Sent) -> OllamaError:
    return OllamaAnswerError(sent.endpoint, f"the answer to {sent.path} cannot be decoded: {exc}")


def _not_sent(exc: Exception, sent: Sent) -> OllamaError:
    # Not quoted: a protocol error may repeat the headers, and with them the token.
    kind = type(exc).__name__
    return OllamaRequestError(sent.endpoint, f"cannot send {sent.path} ({kind}); see OLLAMA_HOST")


def _busy(case: _Case) -> OllamaError:
    if "usage limit" in case.said:
        return OllamaRequestError(case.sent.endpoint, f"{case.quoted}; the quota is used up")
    message = f"{case.quoted}; it is overloaded, lower INGEST_WORKERS"
    kind = RateLimitedError if case.reply.status == 429 else OllamaBusyError
    return kind(case.sent.endpoint, message, _retry_after(case.reply))


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


def _gone(case: _Case) -> OllamaError:
    return OllamaUnavailableError(case.sent.endpoint, f"{case.quoted}; see the server's log")


def _unreachable(case: _Case) -> OllamaError:
    return RunnerUnreachableError(case.sent.endpoint, f"{case.quoted}; see the server's log")


def _died(case: _Case) -> OllamaError:
    """The runner died during the request; with texts in it, one of them may be the cause.

    Bisecting is also the retry: if the cause was another request, both halves pass.
    """
    if not case.sent.texts:
        return _gone(case)
    return PoisonTextError(
        case.sent.endpoint, f"{case.quoted}: the runner died of {_culprit(case)}"
    )


def _not_a_number(case: _Case) -> OllamaError:
    if not case.sent.texts:
        return _gone(case)
    return PoisonTextError(case.sent.endpoint, f"{case.quoted}: NaN for {_culprit(case)}")


def _too_long(case: _Case) -> OllamaError:
    if not case.sent.texts:
        return OllamaRequestError(case.sent.endpoint, f"{case.quoted}; num_ctx is too small")
    return TextTooLongError(
        case.sent.endpoint, f"{case.quoted} for {_culprit(case)}; lower INGEST_CHUNK_TOKENS"
    )


def _request_too_large(case: _Case) -> OllamaError:
    return RequestTooLargeError(
        case.sent.endpoint,
        f"{case.quoted}: a proxy's limit on bytes, with {case.sent.texts} texts in the request;"
        " lower INGEST_BATCH_SIZE",
    )


def _our_fault(case: _Case) -> OllamaError:
    return OllamaRequestError(case.sent.endpoint, f"{case.quoted}; the request is not accepted")


def _redirected(case: _Case) -> OllamaError:
    to = case.reply.headers.get("location", "")[:LONGEST_QUOTE]
    return OllamaRequestError(
        case.sent.endpoint, f"{case.quoted} leads to {to!r}; set OLLAMA_HOST to the final address"
    )


def _not_ollama(case: _Case) -> OllamaError:
    return OllamaAnswerError(case.sent.endpoint, f"{case.quoted}; is OLLAMA_HOST an Ollama?")


def _not_found(case: _Case) -> OllamaError:
    model = case.sent.model
    if re.search(r"model .*not found", case.said):
        return ModelError(case.sent.endpoint, model, f"{case.quoted}; run `ollama pull {model}`")
    return OllamaRequestError(
        case.sent.endpoint, f"{case.quoted}; OLLAMA_HOST is not an Ollama, or one before 0.3"
    )


def _cannot_embed(case: _Case) -> OllamaError:
    model = case.sent.model
    return ModelError(
        case.sent.endpoint,
        model,
        f"{case.quoted}: {model!r} cannot embed; set INGESTION_MODEL to a model that can",
    )


def _unauthorized(case: _Case) -> OllamaError:
    return OllamaAuthError(case.sent.endpoint, f"{case.quoted}; set OLLAMA_API_KEY")


def _forbidden(case: _Case) -> OllamaError:
    return OllamaAuthError(
        case.sent.endpoint,
        f"{case.quoted}; check OLLAMA_API_KEY, and that the Host header is one Ollama accepts",
    )


def _culprit(case: _Case) -> str:
    return "this text" if case.sent.texts == 1 else f"one of {case.sent.texts} texts"


_EXCEPTION_RULES: tuple[
    tuple[tuple[type[Exception], ...], Callable[[Exception, Sent], OllamaError]], ...
] = (
    ((httpx.ConnectError, httpx.ConnectTimeout), _not_connected),
    ((httpx.TimeoutException, TimeoutError), _timed_out),
    ((httpx.ProxyError,), _no_proxy),
    ((httpx.NetworkError, httpx.RemoteProtocolError), _lost),
    ((httpx.DecodingError,), _not_decoded),
)
# Since 0.30 nearly every failure inside is a 400, before it was a 500: only the body tells. The
# order matters: an error that names the runner may repeat the words of another.
_BODY_RULES: tuple[tuple[re.Pattern[str], _Rule], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), rule)
    for pattern, rule in (
        (r"(do embedding request|post \"http://127\.0\.0\.1:).*: (unexpected )?eof", _died),
        (
            r"dial tcp|connection refused|connectex|connection reset|broken pipe|out of memory"
            r"|signal: killed|unexpected server status|context canceled|no slots available",
            _unreachable,
        ),
        (r"process has terminated|timed out waiting", _gone),
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
    404: _not_found,
    405: _not_found,
    408: _gone,
    413: _request_too_large,
    429: _busy,
    499: _gone,
    501: _cannot_embed,
    503: _busy,
}
_CLASS_RULES: Mapping[int, _Rule] = {2: _not_ollama, 3: _redirected, 5: _gone}
