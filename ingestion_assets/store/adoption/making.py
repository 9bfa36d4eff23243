"""Rows of somebody else in, documents and chunks of ours out, each chunk with its row's vector."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.chunks.chunk import Chunk, chunk_id, content_hash, embedded_text
from ingestion_assets.chunks.tokens import TokenCounter
from ingestion_assets.documents.document import Document, document_id
from ingestion_assets.documents.media import PLAIN
from ingestion_assets.store.adoption.reading import Row

_BETWEEN = "\n\n"
_MOST_ROWS = 5_000  # of one document; what has more goes on in a second one
_LONGEST_URI = 2000  # bytes; an index entry has no room for many more
_TITLES = ("title", "file_name", "file_path")
_TIMES = ("modified_at", "last_modified", "last_modified_date")


@dataclass(frozen=True, slots=True)
class Made:
    """A document, its chunks, and the vector of each as it was found; none if there is none."""

    document: Document
    chunks: Sequence[Chunk]
    vectors: Sequence[NDArray[np.float32] | None]
    row_ids: Sequence[str]


class Maker:
    """Makes documents of one source.

    Args:
        source: its name.
        prefix: what stood before every text when it was embedded, if it is not the model's own.
        table: where the rows are from, for people.
        counter: counts tokens as the model does.
    """

    def __init__(self, source: str, prefix: str | None, table: str, counter: TokenCounter) -> None:
        self._source, self._prefix, self._table = source, prefix, table
        self._counter = counter
        self._now = datetime.now(UTC)

    def documents(self, rows: Iterable[Row]) -> Iterator[Made]:
        """The documents of some rows, those of one document following each other.

        One of more than 5,000 rows is continued in others: their uris end with `#2` and so on.
        """
        for name, group in groupby(rows, key=attrgetter("document")):
            part = 1
            while taken := list(islice(group, _MOST_ROWS)):
                yield self._made(name if part == 1 else f"{name}#{part}", taken)
                part += 1

    def _made(self, name: str, rows: Sequence[Row]) -> Made:
        uri = _uri(name)
        shared, rest = _split([row.metadata for row in rows])
        metadata = {**shared, "adopted_from": self._table}
        if any(rest):
            metadata["chunks"] = rest
        text = _BETWEEN.join(row.text for row in rows)
        document = Document(
            document_id=document_id(self._source, uri),
            source=self._source,
            partition_key=f"{self._source}/00",
            uri=uri,
            media_type=PLAIN,
            title=str(next((shared[key] for key in _TITLES if shared.get(key)), uri)),
            text=text,
            content_hash=self._hash(uri, rows, metadata),
            metadata=metadata,
            domain=None,
            category=None,
            bytes=len(text.encode()),
            modified_at=_modified_at(shared) or self._now,
            ingested_at=self._now,
        )
        chunks = self._chunks(document, rows)
        return Made(document, chunks, [row.vector for row in rows], [row.id for row in rows])

    def _hash(self, uri: str, rows: Sequence[Row], metadata: Mapping[str, Any]) -> bytes:
        content = [uri, self._prefix, [[row.heading, row.text] for row in rows], metadata]
        packed = json.dumps(content, sort_keys=True)
        return blake2b(packed.encode(), digest_size=16).digest()

    def _chunks(self, document: Document, rows: Sequence[Row]) -> list[Chunk]:
        lead = self._prefix or ""
        tokens = self._counter.count([lead + embedded_text(row.heading, row.text) for row in rows])
        seen: Counter[str] = Counter()
        chunks, start = [], 0
        for ordinal, (row, count) in enumerate(zip(rows, tokens, strict=True)):
            end = start + len(row.text)
            chunks.append(
                Chunk(
                    chunk_id(document.document_id, row.text, seen[row.text]),
                    document.document_id,
                    ordinal,
                    row.heading,
                    row.text,
                    content_hash(self._prefix, row.heading, row.text),
                    count,
                    start,
                    end,
                )
            )
            seen[row.text] += 1
            start = end + len(_BETWEEN)
        return chunks


def _uri(name: str) -> str:
    if len(name.encode()) <= _LONGEST_URI:
        return name
    return f"{name[:80]}#{blake2b(name.encode(), digest_size=16).hexdigest()}"


def _split(
    metadata: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all rows say alike, and what else each says."""
    first, *others = metadata
    shared = {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }
    rest = [{k: v for k, v in one.items() if k not in shared} for one in metadata]
    return shared, rest


def _modified_at(metadata: Mapping[str, Any]) -> datetime | None:
    for name in _TIMES:
        try:
            at = datetime.fromisoformat(str(metadata.get(name)))
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None
