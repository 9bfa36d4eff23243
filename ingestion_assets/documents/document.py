"""A document: text with its origin, and the blocks it consists of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from itertools import pairwise
from typing import Any
from uuid import UUID


class BlockKind(StrEnum):
    """What a block of text is; decides how it may be cut."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    CODE = "code"
    TABLE = "table"
    RECORD = "record"
    SYMBOL = "symbol"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a document's text, in order and not overlapping.

    Attributes:
        start: offset of its first character in the document's text.
        end: offset after its last character, trailing newlines excluded.
        level: 1 to 6 for a heading, else 0.
        title: a heading's plain text, markup removed; a symbol's qualified name; else empty.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    title: str = ""


class UnreadableError(ValueError):
    """What is wrong with a document's bytes, and the remedy; `extract` adds whose they are."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader of a format makes of a decoded text.

    Attributes:
        title: empty if the format has none, or nobody gave it.
    """

    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Extract:
    """What the bytes of a document say.

    Attributes:
        text: the text to chunk. Markdown, reStructuredText, AsciiDoc, source code and plain text
            are kept as they are; every other format is rendered as Markdown, or as records.
    """

    media_type: str
    title: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """One row of the documents table.

    Attributes:
        uri: path below the source's root, with forward slashes.
        content_hash: 16 bytes of BLAKE2b over the raw bytes and the source's own settings.
        bytes: size of the raw document; for a member of an archive, of the archive.
        metadata: JSON values; `pages` has the offset of each page's first character in the text.
        ingested_at: when the source was read, by the reader's clock.
    """

    document_id: UUID
    source: str
    partition_key: str
    uri: str
    media_type: str
    title: str
    text: str
    content_hash: bytes
    metadata: Mapping[str, Any]
    domain: str | None
    category: str | None
    bytes: int
    modified_at: datetime
    ingested_at: datetime


def pages(offsets: object) -> Sequence[int]:
    """What a document's metadata says of its pages, if it is offsets in ascending order.

    Front matter may say something else there, as `pages: 12`.
    """
    if not isinstance(offsets, Sequence) or not all(type(at) is int for at in offsets):
        return ()
    is_ascending = all(left <= right for left, right in pairwise(offsets))
    return offsets if is_ascending else ()


@dataclass(frozen=True, slots=True)
class Known:
    """What the store remembers of a document: enough to tell whether it changed.

    Attributes:
        validator: what its origin called the stored version, if it did.
    """

    document_id: UUID
    content_hash: bytes
    bytes: int
    modified_at: datetime
    ingested_at: datetime
    validator: str | None = None


def document_id(source: str, uri: str) -> UUID:
    """The id of a document; those of one source are neighbours in the index."""
    own = blake2b(f"{source}\0{uri}".encode(), digest_size=12).digest()
    return UUID(bytes=blake2b(source.encode(), digest_size=4).digest() + own)
