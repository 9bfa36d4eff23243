"""A partition's documents and what the store knows of them in, the difference out."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from ingestion_assets import documents
from ingestion_assets.changes import Changes
from ingestion_assets.documents.document import Document, Known, document_id
from ingestion_assets.errors import MassDeletionError, SourceError, UnsupportedMediaError
from ingestion_assets.sources.origin import Absent, Found, Read, Unchanged, ending
from ingestion_assets.sources.origins import origin
from ingestion_assets.sources.record import Record, checked
from ingestion_assets.sources.source import Source

_BATCH = 100  # documents
_BATCH_TEXT = 8_000_000  # characters
_GONE_BATCH = 1000  # ids
_FEWEST = 3  # documents; fewer may go unasked
_MOST_LOST = 1 / 3  # of a source's documents that may go unasked

# A file changed so shortly before it was read may have changed once more within its time stamp.
_RACY = timedelta(seconds=2)


@dataclass(slots=True)
class Counts:
    """What became of a partition's documents.

    Attributes:
        seen: documents found: the sum of new, changed, touched, unchanged, failed and skipped, but
            for failed folders and for what vanished again.
        touched: same content, another time stamp.
        skipped: content that is not text, and never was.
        bytes_read: of all documents that were not known to be unchanged before they were read.
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
    """A document, or a folder (with a slash at the end), that could not be read, and why."""

    uri: str
    error_class: str
    message: str


def _is_same(known: Known, found: Found) -> bool:
    """Whether a document need not be read to know that it is as it is stored."""
    if found.validator is not None:
        return found.validator == known.validator
    return (
        found.modified_at == known.modified_at
        and found.bytes in (None, known.bytes)
        and known.modified_at < known.ingested_at - _RACY
    )


class Reconciliation:
    """The difference between what there is and what is stored of a partition, as it is iterated.

    New and changed documents come as rows; so do those that only have a new time stamp, so that
    the store takes it over. A stored document that cannot be read, or whose folder, stays stored.

    Iterating raises SourceError if the origin is missing, unreadable or replaced meanwhile;
    ConfigError if its settings are wrong; and MassDeletionError if the
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
        self._origin = origin(source)
        self._partition_key = partition_key
        self._known = known
        self._elsewhere = elsewhere
        self._reread = reread
        self._allow_deletion = allow_deletion
        self._kept: set[str] = set()  # uris of what is there, and of folders that failed
        self._folders: list[str] = []  # those that failed
        self._asked_at = datetime.now(UTC)  # for the latest content
        self._vanished = 0  # stored ones that were listed, and gone when they were to be read

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
        for read in self._origin.read(self._wanted()):
            try:
                document = self._examine(read)
            except SourceError as exc:
                self._fail(exc)
            else:
                if document:
                    yield document

    def _wanted(self) -> Iterator[Found | Record]:
        """What there is of the partition and may have changed; all is taken down as kept."""
        for found in self._origin.listed(self._partition_key):
            if isinstance(found, SourceError):
                self._miss(found)
                continue
            self.counts.seen += 1
            if found.uri in self._kept:
                self._fail(SourceError(found.uri, "comes twice; leave one out"))
                continue
            self._kept.add(found.uri)
            if wanted := self._unlike_stored(found):
                self._asked_at = datetime.now(UTC)
                yield wanted
            else:
                self.counts.unchanged += 1

    def _miss(self, error: SourceError) -> None:
        """Take down what could not be listed: a document, or all that is below a folder."""
        if error.uri.endswith("/") or not error.uri:
            self._folders.append(error.uri)
        else:
            self.counts.seen += 1
        self._kept.add(error.uri)
        self._fail(error)

    def _examine(self, read: Read) -> Document | None:
        """The document to store, or None if the stored one is right or the document is gone."""
        if isinstance(read, SourceError):
            raise read
        if isinstance(read, Absent):
            self._kept.discard(read.uri)
            self._vanished += read.uri in self._known
            return None
        if isinstance(read, Unchanged):
            self.counts.unchanged += 1
            return None
        record = checked(read, self._source.max_bytes)
        known, now = self._known.get(record.uri), self._asked_at
        self.counts.bytes_read += len(record.raw())
        content_hash = self._source.content_hash(record.identity())
        same = known is not None and known.content_hash == content_hash
        modified_at = record.modified_at or (known.modified_at if known and same else now)
        if same and self._is_noted(replace(record, modified_at=modified_at)):
            self.counts.unchanged += 1
            return None
        document = self._document(replace(record, modified_at=modified_at), content_hash, now)
        self._count(known is None, same)
        return document

    def _unlike_stored(self, found: Found | Record) -> Found | Record | None:
        """What is to be read, with the validator to read it by; None if it is as it is stored."""
        known = self._fresh(found.uri)
        if known is None or isinstance(found, Record):
            return found
        if _is_same(known, found):
            return None
        return replace(found, validator=found.validator or known.validator)

    def _fresh(self, uri: str) -> Known | None:
        """What is stored of a document, if it need not be stored again in any case."""
        known = self._known.get(uri)
        if known is None or self._reread or not self._source.made(known.content_hash):
            return None
        return known

    def _is_noted(self, record: Record) -> bool:
        """Whether the time and the validator of a document are as they are stored."""
        known = self._fresh(record.uri)
        return known is not None and (known.modified_at, known.validator) == (
            record.modified_at,
            record.provenance.get("validator", known.validator),
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
        return Document(
            document_id=document_id(self._source.name, record.uri),
            source=self._source.name,
            partition_key=self._partition_key,
            uri=record.uri,
            media_type=extract.media_type,
            title=record.title or extract.title,
            text=extract.text,
            content_hash=content_hash,
            metadata={
                **self._source.metadata,
                **extract.metadata,
                **record.metadata,
                **record.provenance,
            },
            domain=self._source.domain,
            category=self._source.category,
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
        total, lost = stored.total(), (stored - self._origin.present()).total()
        name = self._source.name
        if self._origin.is_empty():
            why = f"source {name!r} is empty, but {total} documents of it are stored"
        elif _is_much(lost, total):
            why = f"{lost} of the {total} documents of source {name!r} are gone"
        elif _is_much(self._vanished, len(self._known)):
            why = f"{self._vanished} documents of {self._partition_key} are listed, but gone"
        else:
            return
        remedy = f"bring them back, or let them go: ingest run {name} --yes"
        raise MassDeletionError(self._origin.name, f"{why}; nothing is deleted: {remedy}")


def _is_much(lost: int, total: int) -> bool:
    return lost >= _FEWEST and lost > total * _MOST_LOST
