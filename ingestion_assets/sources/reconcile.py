"""A partition's documents and what the store knows of them in, the difference out."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from uuid import UUID

from ingestion_assets import documents
from ingestion_assets.changes import Changes
from ingestion_assets.documents.document import Document, Known
from ingestion_assets.errors import MassDeletionError, SourceError, UnsupportedMediaError
from ingestion_assets.sources import files, python
from ingestion_assets.sources.files import Found
from ingestion_assets.sources.record import Record, checked
from ingestion_assets.sources.source import Source

_BATCH = 100  # documents
_BATCH_TEXT = 8_000_000  # characters
_GONE_BATCH = 1000  # ids
_FEWEST = 3  # documents; fewer may go unasked
_MOST_LOST = 1 / 3  # of a source's documents that may go unasked
_ENDING = re.compile(r"\.[^./]*\Z")

# A file changed so shortly before it was read may have changed once more within its time stamp.
_RACY = timedelta(seconds=2)


def document_id(source: str, uri: str) -> UUID:
    """The id of a document; those of one source are neighbours in the index."""
    own = blake2b(f"{source}\0{uri}".encode(), digest_size=12).digest()
    return UUID(bytes=blake2b(source.encode(), digest_size=4).digest() + own)


def ending(uri: str) -> str:
    """`.md` of `guide/a.md`; empty if there is none."""
    found = _ENDING.search(uri)
    return found[0] if found else ""


@dataclass(slots=True)
class Counts:
    """What became of a partition's files, or of the records of a function.

    Attributes:
        seen: files found: the sum of new, changed, touched, unchanged, failed and skipped, but for
            failed folders and for files that vanished again.
        touched: same content, another time stamp.
        skipped: content that is not text, and never was.
        bytes_read: of records, and of files whose time stamp or size did not tell that they are
            unchanged.
    """

    seen: int = 0
    new: int = 0
    changed: int = 0
    touched: int = 0
    unchanged: int = 0
    gone: int = 0
    failed: int = 0
    skipped: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A file, a folder (with a slash at the end) or a record that could not be read, and why."""

    uri: str
    error_class: str
    message: str


class Reconciliation:
    """The difference between a partition's files and its stored documents, found as it is iterated.

    New and changed documents come as rows; so do those that only have a new time stamp, so that
    the store takes it over. A stored document whose file or folder cannot be read stays stored.

    Iterating raises SourceError if the root is missing, unreadable or replaced meanwhile, or if
    the function fails; ConfigError if there is no such function; and MassDeletionError if the
    source is empty while documents of it are stored, or has lost more than a third of them, in
    whichever partitions: then a share is not mounted, most likely, and nothing is deleted unasked.

    Args:
        elsewhere: counts what is stored of the source's other partitions, but for documents in
            the given folders, by the ending of their uris.
        reread: read and write every document, whatever is stored of it.
        allow_deletion: delete what is gone, however much it is.

    Attributes:
        counts: complete once iterated to the end.
        failures: what could not be read, as counted in `failed`.
        skipped: what is not text, as counted in `skipped`.
    """

    def __init__(
        self,
        source: Source,
        partition_key: str,
        known: Mapping[str, Known],
        elsewhere: Callable[[Sequence[str]], Counter[str]],
        *,
        reread: bool = False,
        allow_deletion: bool = False,
    ) -> None:
        self.counts = Counts()
        self.failures: list[Failure] = []
        self.skipped: list[Failure] = []
        self._source = source
        self._partition_key = partition_key
        self._known = known
        self._elsewhere = elsewhere
        self._reread = reread
        self._allow_deletion = allow_deletion
        self._kept: set[str] = set()  # uris of what is there, and of folders that failed
        self._folders: list[str] = []  # those that failed
        self._yielded: Counter[str] = Counter()  # by a function, for all partitions, by ending

    def __iter__(self) -> Iterator[Changes[Document]]:
        batch: list[Document] = []
        size = 0
        for document in self._documents():
            if batch and (len(batch) == _BATCH or size + len(document.text) > _BATCH_TEXT):
                yield Changes(rows=batch)
                batch, size = [], 0
            batch.append(document)
            size += len(document.text)
        if batch:
            yield Changes(rows=batch)
        gone = iter(self._gone())
        while ids := list(islice(gone, _GONE_BATCH)):
            self.counts.gone += len(ids)
            yield Changes(gone=ids)

    def _documents(self) -> Iterator[Document]:
        for found in self._found():
            try:
                if isinstance(found, SourceError):
                    raise found
                document = self._examine(found)
            except SourceError as exc:
                self._fail(exc)
            else:
                if document:
                    yield document

    def _found(self) -> Iterator[Found | Record | SourceError]:
        """What there is of the partition, taken down as kept."""
        for found in self._listed():
            folder = self._source.python is None and found.uri.endswith("/")
            if folder or not found.uri:
                self._folders.append(found.uri)
            self.counts.seen += not folder
            twice = isinstance(found, Record) and found.uri in self._kept
            self._kept.add(found.uri)
            yield SourceError(found.uri, "is yielded twice; leave one out") if twice else found

    def _listed(self) -> Iterator[Found | Record | SourceError]:
        if self._source.python is None:
            yield from files.walk(self._source, self._partition_key)
            return
        for record in python.records(self._source):
            self._yielded[ending(record.uri)] += 1
            if self._source.partition_key(record.uri) == self._partition_key:
                yield record

    def _examine(self, found: Found | Record) -> Document | None:
        """The document to store, or None if the stored one is right or the file has vanished."""
        known = self._known.get(found.uri)
        now = datetime.now(UTC)
        record = self._read(found, known)
        if record is None:
            return None
        self.counts.bytes_read += len(record.raw())
        content_hash = self._source.content_hash(record.identity())
        same = known is not None and known.content_hash == content_hash
        modified_at = record.modified_at or (known.modified_at if known and same else now)
        if known and same and not self._reread and known.modified_at == modified_at:
            self.counts.unchanged += 1
            return None
        document = self._document(replace(record, modified_at=modified_at), content_hash, now)
        self._count(known is None, same)
        return document

    def _read(self, found: Found | Record, known: Known | None) -> Record | None:
        """The content; None if that need not be looked at, or is gone."""
        if isinstance(found, Record):
            return checked(found, self._source.max_bytes)
        if known and not self._reread and self._is_same(known, found):
            self.counts.unchanged += 1
            return None
        content = files.read(self._source, found)
        if content is None:
            self._kept.discard(found.uri)
            return None
        found, raw = content
        return Record(found.uri, raw, modified_at=found.modified_at)

    def _is_same(self, known: Known, found: Found) -> bool:
        return (
            (known.bytes, known.modified_at) == (found.bytes, found.modified_at)
            and known.modified_at < known.ingested_at - _RACY
            and self._source.made(known.content_hash)
        )

    def _count(self, new: bool, same: bool) -> None:
        if new:
            self.counts.new += 1
        elif same:
            self.counts.touched += 1
        else:
            self.counts.changed += 1

    def _document(self, record: Record, content_hash: bytes, now: datetime) -> Document:
        raw = record.raw()
        extract = documents.extract(record.uri, raw, record.media_type)
        own = {**extract.metadata, **record.metadata}
        return Document(
            document_id=document_id(self._source.name, record.uri),
            source=self._source.name,
            partition_key=self._partition_key,
            uri=record.uri,
            media_type=extract.media_type,
            title=record.title or extract.title,
            text=extract.text,
            content_hash=content_hash,
            metadata={**self._source.metadata, **own},
            **self._source.names(record.uri, own),
            bytes=len(raw),
            modified_at=record.modified_at or now,
            ingested_at=now,
        )

    def _fail(self, exc: SourceError) -> None:
        failure = Failure(exc.uri, type(exc).__name__, str(exc))
        if isinstance(exc, UnsupportedMediaError) and exc.uri not in self._known:
            self.counts.skipped += 1
            self.skipped.append(failure)
        else:
            self.counts.failed += 1
            self.failures.append(failure)

    def _gone(self) -> list[UUID]:
        gone = [
            known.document_id
            for uri, known in self._known.items()
            if uri not in self._kept and not self._has_failed(uri)
        ]
        if gone and not self._allow_deletion:
            self._refuse_accidents()
        return gone

    def _has_failed(self, uri: str) -> bool:
        """Whether a folder of a document cannot be read, so that nobody knows if it is gone."""
        return uri.startswith(tuple(self._folders))

    def _refuse_accidents(self) -> None:
        """An unmounted share, or a glob gone wrong, must not empty the store.

        A new document makes up for one that is gone, if it ends alike: it may have been renamed.
        """
        stored = self._elsewhere(self._folders) + Counter(
            ending(uri) for uri in self._known if not self._has_failed(uri)
        )
        total, lost = stored.total(), (stored - self._present()).total()
        name = self._source.name
        if self._is_empty():
            why = f"source {name!r} is empty, but {total} documents of it are stored"
        elif lost >= _FEWEST and lost > total * _MOST_LOST:
            why = f"{lost} of the {total} documents of source {name!r} are gone"
        else:
            return
        remedy = f"bring them back, or let them go: ingest run {name} --yes"
        raise MassDeletionError(self._source.origin, f"{why}; nothing is deleted: {remedy}")

    def _present(self) -> Counter[str]:
        """What there is in all partitions, by ending."""
        if self._source.python is None:
            return Counter(map(ending, files.names(self._source)))
        return self._yielded

    def _is_empty(self) -> bool:
        return files.is_empty(self._source) if self._source.python is None else not self._yielded
