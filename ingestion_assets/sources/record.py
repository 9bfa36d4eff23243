"""A document as its source gives it, before its text is extracted."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ingestion_assets.documents import media
from ingestion_assets.errors import SourceError

UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # in Postgres

_LONGEST = 2000  # bytes of a uri; an index entry has no room for many more


@dataclass(frozen=True, slots=True)
class Record:
    """A document: its name in the source, its content, and what the source knows of it.

    Attributes:
        uri: its identity in the source, for ever; up to 2,000 bytes.
        content: text, or bytes that are read as a file's.
        media_type: how to read it; told by the uri's ending and the content if not given.
        title: told by the content if not given.
        metadata: JSON values, over those of the source and of the content's front matter.
        modified_at: with a time zone; if not given, when this content was first seen.
        provenance: JSON values that are stored with the metadata, but may change while the
            document does not, as the commit that it was read from.
    """

    uri: str
    content: str | bytes
    media_type: str | None = None
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    modified_at: datetime | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def raw(self) -> bytes:
        """The content in bytes."""
        return self.content.encode() if isinstance(self.content, str) else self.content

    def identity(self) -> bytes:
        """What changes when the document does; the bare content, if there is nothing else."""
        said = [self.media_type, self.title, dict(self.metadata)]
        if not any(said):
            return self.raw()
        return json.dumps(said, sort_keys=True).encode() + b"\0" + self.raw()


def uri_problem(uri: object) -> str | None:
    """Why a uri cannot be one, and the remedy."""
    if not isinstance(uri, str) or not uri:
        return "is no name; give a string that is not empty"
    if UNSTORABLE.search(uri):
        return "has a character that cannot be stored; escape it"
    if len(uri.encode()) > _LONGEST:
        return f"is longer than {_LONGEST} bytes; shorten it"
    return None


def checked(record: Record, max_bytes: int) -> Record:
    """The record as it can be stored: bytes, plain JSON values, a time in UTC.

    Raises:
        SourceError: names what cannot be stored, and the remedy.
    """
    if record.media_type is not None and record.media_type not in media.READ:
        known = ", ".join(media.READ)
        raise SourceError(
            record.uri, f"media_type {record.media_type!r} is not read; give one of {known}"
        )
    _check_title(record)
    return replace(
        record,
        content=_content(record, max_bytes),
        metadata=_plain(record.uri, "metadata", record.metadata),
        provenance=_plain(record.uri, "provenance", record.provenance),
        modified_at=_modified_at(record),
    )


def _check_title(record: Record) -> None:
    title: object = record.title
    if title is not None and (not isinstance(title, str) or UNSTORABLE.search(title)):
        raise SourceError(record.uri, f"title {title!r:.80} cannot be stored; give plain text")


def _content(record: Record, max_bytes: int) -> bytes:
    content: object = record.content
    if not isinstance(content, str | bytes):
        raise SourceError(
            record.uri, f"content is {type(content).__name__}, neither text nor bytes; give either"
        )
    try:
        raw = record.raw()
    except UnicodeEncodeError as exc:
        raise SourceError(record.uri, f"content is no text ({exc.reason}); give bytes") from exc
    if len(raw) > max_bytes:
        raise SourceError(
            record.uri,
            f"has {len(raw)} bytes, more than the {max_bytes} of `max_bytes`; "
            "raise that in sources.yaml or leave the document out",
        )
    return raw


def _plain(uri: str, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON has them."""
    try:
        text = json.dumps(dict(values), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise SourceError(uri, f"{name} is not JSON ({exc}); give strings") from exc
    if "\\u0000" in text.replace(r"\\", ""):
        raise SourceError(uri, f"{name} has a NUL, which cannot be stored; remove it")
    plain: dict[str, Any] = json.loads(text)
    return plain


def _modified_at(record: Record) -> datetime | None:
    at: object = record.modified_at
    if at is None:
        return None
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise SourceError(record.uri, f"modified_at {at!r} has no time zone; give it one")
    try:
        return at.astimezone(UTC)
    except OverflowError as exc:
        raise SourceError(record.uri, f"modified_at {at!r} is out of range; leave it out") from exc
