"""Stored documents and their stored chunks in, the difference out, in bounded batches."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import groupby
from uuid import UUID

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.documents import blocks
from ingestion_assets.documents.document import Document, pages

_ROWS_AT_ONCE = 2_000
_CHARACTERS_AT_ONCE = 4_000_000
_DOCUMENTS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What the chunker needs of a stored document.

    Attributes:
        content_hash: 16 bytes that name the document's content.
        prefix: the source's own instruction, embedded before every chunk.
        pages: offset of each page's first character.
    """

    document_id: UUID
    partition_key: str
    media_type: str
    title: str
    text: str
    content_hash: bytes
    prefix: str | None
    pages: Sequence[int] = ()


def to_split(document: Document, prefix: str | None) -> StoredDocument:
    """A document as the store gives it to the chunker."""
    return StoredDocument(
        document.document_id,
        document.partition_key,
        document.media_type,
        document.title,
        document.text,
        document.content_hash,
        prefix,
        pages(document.metadata.get("pages")),
    )


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """What the store knows of a chunk, its text left out."""

    chunk_id: UUID
    ordinal: int
    heading: str
    content_hash: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunked:
    """One transaction's worth of a partition's difference.

    Attributes:
        documents: those whose chunks are complete with this batch, each with what it was chunked
            as; a document of many chunks is in the last of its batches.
        chunker: the fingerprint of the chunker, for all rows of the batch.
        new: chunks to insert.
        moved: stored chunks whose place, heading or content hash changed; their text did not.
        gone: ids of stored chunks to delete.
    """

    partition_key: str
    chunker: str
    documents: list[tuple[UUID, bytes]] = field(default_factory=list)
    new: list[Chunk] = field(default_factory=list)
    moved: list[Chunk] = field(default_factory=list)
    gone: list[UUID] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What was found of the documents that were split.

    Attributes:
        chunks: all of these documents' chunks: new, moved and kept.
        tokens: tokens of these chunks.
        bytes: of the documents' texts.
    """

    documents: int = 0
    chunks: int = 0
    new: int = 0
    moved: int = 0
    kept: int = 0
    gone: int = 0
    tokens: int = 0
    bytes: int = 0


class Splitting:
    """The chunks of some documents as a difference to what is stored, worked out batch by batch.

    Iterate once; every batch may be committed before the next is asked for. A batch holds about
    2,000 changed chunks or 4 MB of text at most, beside the ids that are gone. `counts` grows
    with the batches and is complete when they are.
    """

    def __init__(
        self,
        documents: Iterable[StoredDocument],
        stored: Callable[[Sequence[UUID]], Mapping[UUID, list[StoredChunk]]],
        chunker: Chunker,
    ) -> None:
        """Take documents in any order; `stored` is asked for the chunks of a few at a time."""
        self.counts = Counts()
        self._documents, self._stored, self._chunker = documents, stored, chunker

    def __iter__(self) -> Generator[Chunked, None, None]:
        for (partition_key, prefix), documents in groupby(self._documents, key=_batch_key):
            yield from self._batches(partition_key, self._chunker.fingerprint(prefix), documents)

    def metadata(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self.counts)

    def _batches(
        self, partition_key: str, chunker: str, documents: Iterable[StoredDocument]
    ) -> Iterator[Chunked]:
        batch = Chunked(partition_key, chunker)
        load = 0.0
        for document, old in self._with_stored(documents):
            for chunk in self._split(document):
                load += self._add(batch, chunk, old.pop(chunk.chunk_id, None))
                if load >= 1:
                    yield batch
                    batch, load = Chunked(partition_key, chunker), 0.0
            batch.gone.extend(old)
            batch.documents.append(
                (document.document_id, chunked_as(document.content_hash, chunker))
            )
            load += (1 + len(old)) / _ROWS_AT_ONCE
            self.counts.documents += 1
            self.counts.bytes += len(document.text.encode())
            self.counts.gone += len(old)
        if batch.documents:
            yield batch

    def _with_stored(
        self, documents: Iterable[StoredDocument]
    ) -> Iterator[tuple[StoredDocument, dict[UUID, StoredChunk]]]:
        for group in _groups(documents):
            stored = self._stored([document.document_id for document in group])
            for document in group:
                yield document, {c.chunk_id: c for c in stored.get(document.document_id, ())}

    def _split(self, document: StoredDocument) -> list[Chunk]:
        return self._chunker.split(
            document.document_id,
            document.text,
            blocks(document.media_type, document.text),
            document.prefix,
            title=document.title,
            pages=document.pages,
        )

    def _add(self, batch: Chunked, chunk: Chunk, old: StoredChunk | None) -> float:
        """Put a chunk where it belongs; what share of a batch it fills."""
        self.counts.chunks += 1
        self.counts.tokens += chunk.tokens
        if old == as_stored(chunk):
            self.counts.kept += 1
            return 0
        if old is None:
            self.counts.new += 1
            batch.new.append(chunk)
        else:
            self.counts.moved += 1
            batch.moved.append(chunk)
        return 1 / _ROWS_AT_ONCE + len(chunk.text) / _CHARACTERS_AT_ONCE


def chunked_as(content_hash: bytes, fingerprint: str) -> bytes:
    """16 bytes that name a document's content together with the chunker that cut it."""
    return blake2b(content_hash + fingerprint.encode(), digest_size=16).digest()


def _batch_key(document: StoredDocument) -> tuple[str, str | None]:
    return document.partition_key, document.prefix


def as_stored(chunk: Chunk) -> StoredChunk:
    """A chunk as the store would know it."""
    return StoredChunk(
        chunk.chunk_id, chunk.ordinal, chunk.heading, chunk.content_hash, chunk.start, chunk.end
    )


def _groups(documents: Iterable[StoredDocument]) -> Iterator[list[StoredDocument]]:
    """Documents by the few, so that one question to the store serves several."""
    group: list[StoredDocument] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.text)
        if len(group) == _DOCUMENTS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield group
            group, characters = [], 0
    if group:
        yield group
