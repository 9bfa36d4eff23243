"""A partition's documents and what the store knows of them in, the difference out."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import BinaryIO
from uuid import UUID

from ingestion_assets.changes import Changes
from ingestion_assets.documents.document import Document, Known
from ingestion_assets.documents.processes import Extractors, Limits, Raw
from ingestion_assets.errors import MassDeletionError, SourceError, UnsupportedMediaError
from ingestion_assets.sources import archives
from ingestion_assets.sources.changed import Changed
from ingestion_assets.sources.counts import Counts, Failure
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

    Iterating raises SourceError if the origin is missing, unreadable or replaced meanwhile,
    ConfigError if its settings are wrong, and MassDeletionError if the source is empty while
    documents of it are stored, or has lost more than a third of them, in whichever partitions: then
    a share is not mounted, most likely, and nothing is deleted unasked.

    Args:
        elsewhere: counts what is stored of the source's other partitions, but for documents in
            the given folders, by the ending of their uris.
        limits: of what the extraction of one document may cost.
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
        limits: Limits | None = None,
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
        self._limits = limits or Limits()
        self._reread = reread
        self._allow_deletion = allow_deletion
        self._kept: set[str] = set()  # uris of what is there, and of folders that failed
        self._folders: list[str] = []  # and archives, those that failed
        self._asked_at = datetime.now(UTC)  # for the latest content
        self._vanished = 0  # stored ones that were listed, and gone when they were to be read

    def __iter__(self) -> Generator[Changes[Document], None, None]:
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
        with Extractors(self._limits) as extractors:
            for changed, extract in extractors.each(self._changed()):
                if isinstance(extract, SourceError):
                    self._fail(extract)
                else:
                    self._count(changed)
                    yield changed.document(self._source, self._partition_key, extract)

    def _changed(self) -> Iterator[tuple[Raw, Changed]]:
        """What is to be extracted."""
        for read in self._origin.read(self._wanted()):
            try:
                for changed in self._examined(read):
                    yield changed.raw(self._source.fields), changed
            except SourceError as exc:
                self._fail(exc)

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

    def _examined(self, read: Read) -> Iterator[Changed]:
        """What is to be stored of a document, or of each document in an archive."""
        if isinstance(read, SourceError):
            raise read
        if isinstance(read, Absent):
            self._kept.discard(read.uri)
            self._vanished += read.uri in self._known
        elif isinstance(read, Unchanged):
            self.counts.unchanged += 1
        else:
            record = checked(read, self._source.max_bytes)
            size = len(record.raw())
            self.counts.bytes_read += size
            for one in self._members(record) if archives.is_archive(record) else (record,):
                if changed := self._examine(one, size):
                    yield changed

    def _members(self, archive: Record) -> Iterator[Record]:
        """An archive's documents, which are counted in its place."""
        self.counts.seen -= 1
        for member in archives.members(archive, self._source.max_bytes):
            self.counts.seen += 1
            self._kept.add(member.uri)
            if isinstance(member, SourceError):
                self._fail(member)
            else:
                yield member

    def _examine(self, record: Record, size: int) -> Changed | None:
        """What to store, or None if what is stored is right."""
        known, now = self._known.get(record.uri), self._asked_at
        content_hash = self._source.content_hash(record.identity())
        same = known is not None and known.content_hash == content_hash
        modified_at = record.modified_at or (known.modified_at if known and same else now)
        record = replace(record, modified_at=modified_at)
        if same and self._is_noted(record, size):
            self.counts.unchanged += 1
            return None
        return Changed(record, content_hash, size, now, is_new=known is None, is_same=same)

    def _unlike_stored(self, found: Found | Record) -> Found | Record | None:
        """What is to be read, with the validator to read it by; None if it is as it is stored."""
        if isinstance(found, Record):
            return found
        known = self._fresh(found.uri)
        if known is None:
            return None if self._is_stored_archive(found) else found
        if _is_same(known, found):
            return None
        return replace(found, validator=found.validator or known.validator)

    def _is_stored_archive(self, found: Found) -> bool:
        """Whether each member of an archive is stored as it is; they are taken down if so."""
        uris: set[str] = set()
        if archives.is_named(found.uri) and (file := self._opened(found.uri)):
            with file:
                uris = archives.listed(found.uri, file)
        stored = list(filter(None, map(self._fresh, uris)))
        if not uris or len(stored) < len(uris) or not all(_is_same(k, found) for k in stored):
            return False
        self._kept |= uris
        self.counts.seen += len(uris) - 1
        self.counts.unchanged += len(uris) - 1
        return True

    def _opened(self, uri: str) -> BinaryIO | None:
        with suppress(OSError, SourceError):  # reading it will say what is wrong
            return self._origin.opened(uri)
        return None

    def _fresh(self, uri: str) -> Known | None:
        """What is stored of a document, if it need not be stored again in any case."""
        known = self._known.get(uri)
        fresh = known and not self._reread and self._source.made(known.content_hash)
        return known if fresh else None

    def _is_noted(self, record: Record, size: int) -> bool:
        """Whether size, time and validator of a document are as they are stored."""
        known = self._fresh(record.uri)
        return known is not None and (known.bytes, known.modified_at, known.validator) == (
            size,
            record.modified_at,
            record.provenance.get("validator", known.validator),
        )

    def _count(self, changed: Changed) -> None:
        if changed.is_new:
            self.counts.new += 1
        elif changed.is_same:
            self.counts.touched += 1
        else:
            self.counts.changed += 1

    def _fail(self, exc: SourceError) -> None:
        failure = Failure(exc.uri, type(exc).__name__, str(exc))
        if archives.is_named(exc.uri):
            self._folders.append(archives.inside(exc.uri))
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
        """Whether its folder or archive cannot be read, so that nobody knows if it is gone."""
        return uri.startswith(tuple(self._folders))

    def _refuse_accidents(self) -> None:
        """An unmounted share, or a glob gone wrong, must not empty the store.

        A new document makes up for one that is gone, if it ends alike: it may have been renamed.
        """
        stored = self._elsewhere(self._folders) + Counter(
            ending(uri)
            for uri in {archives.owner(uri) for uri in self._known if not self._has_failed(uri)}
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
