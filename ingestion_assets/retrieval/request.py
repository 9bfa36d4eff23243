"""What may be asked of a search, and what is refused with a reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import orjson

from ingestion_assets.errors import QueryError

Method = Literal["hybrid", "vector", "text"]
Mode = Literal["auto", "exact", "approx"]
Rerank = Literal["none", "mmr", "model"]

MAX_K = 1000
MAX_TEXT = 8192  # characters
MAX_METADATA = 8192  # bytes of JSON


@dataclass(frozen=True, slots=True)
class Filters:
    """What a chunk's document must be like; none of them excludes anything.

    Attributes:
        uri_prefix: how the document's uri begins.
        metadata: values the document must have; in a list, one of them suffices.
        modified_after: not before this moment; it names a time zone.
        modified_before: before this moment; it names a time zone.

    Raises:
        QueryError: a value that cannot be compared with what is stored.
    """

    source: str | None = None
    domain: str | None = None
    category: str | None = None
    uri_prefix: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    modified_after: datetime | None = None
    modified_before: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("source", "domain", "category", "uri_prefix"):
            _check_text(f"filter {name}", getattr(self, name) or "")
        _check_metadata(self.metadata)
        for name in ("modified_after", "modified_before"):
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                raise QueryError(
                    f"filter {name} names no time zone: {value}; add one, as in +00:00"
                )

    def __bool__(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Search:
    """One search.

    Attributes:
        text: the question, 1 to 8,192 characters.
        k: how many chunks at most, 1 to 1,000; fewer come back only where fewer exist.
        method: by meaning (vector), by words (text), or by both ranks (hybrid).
        mode: compare with every vector (exact), through the index (approx), or exact while that
            is fast (auto).
        rerank: reorder what was found for variety (mmr), or by asking a chat model.
        relevance: of mmr, how much it counts against variety, 0 to 1.

    Raises:
        QueryError: it cannot be searched for; says why.
    """

    text: str
    k: int = 10
    method: Method = "hybrid"
    mode: Mode = "auto"
    filters: Filters = field(default_factory=Filters)
    rerank: Rerank = "none"
    relevance: float = 0.7

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise QueryError("the question is empty; say what to look for")
        if len(self.text) > MAX_TEXT:
            raise QueryError(
                f"the question has {len(self.text):,} characters; shorten it to {MAX_TEXT:,}"
            )
        _check_text("the question", self.text)
        if not 1 <= self.k <= MAX_K:
            raise QueryError(f"k={self.k} is out of range; ask for 1 to {MAX_K:,} results")
        if not 0 <= self.relevance <= 1:
            raise QueryError(f"relevance={self.relevance} is out of range; set it to 0 to 1")
        for name, kind in (("method", Method), ("mode", Mode), ("rerank", Rerank)):
            if getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise QueryError(
                    f"{name}={getattr(self, name)!r} is not known; use one of: {known}"
                )


def moment(text: str) -> datetime:
    """The moment that an ISO 8601 date or time names; UTC where it names no zone.

    Raises:
        QueryError: it names none.
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(
            f"{text!r} is no date; write it as 2026-01-31 or 2026-01-31T12:00Z"
        ) from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _check_text(name: str, value: str) -> None:
    """Refuse what Postgres cannot hold as text."""
    if "\0" in value:
        raise QueryError(f"{name} holds a NUL character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise QueryError(f"{name} is not valid Unicode: it has lone surrogates") from None


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    try:
        packed = orjson.dumps(dict(metadata))
    except orjson.JSONEncodeError as exc:
        raise QueryError(f"filter metadata is not JSON: {exc}") from None
    if len(packed) > MAX_METADATA:
        raise QueryError(f"filter metadata has {len(packed):,} bytes; {MAX_METADATA:,} are allowed")
    if b"\\u0000" in packed:
        raise QueryError("filter metadata holds a NUL character; remove it")
