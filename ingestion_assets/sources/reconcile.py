"""A partition's documents and what the store knows of them in, the difference out."""

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from ingestion_assets.changes import Changes
from ingestion_assets.documents.document import Document, Known
from ingestion_assets.documents.processes import Extractors, Limits, Raw
from ingestion_assets.errors import MassDeletionError, SourceError, UnsupportedMediaError
from ingestion_assets.sources import archives, files, python
from ingestion_assets.sources.changed import Changed
from ingestion_assets.sources.counts import Counts, Failure
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


def ending(uri: str) -> str:
    """`.md` of `guide/a.md`; empty if there is none."""
    found = _ENDING.search(uri)
    return found[0] if found else ""


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
        self._partition_key = partition_key
        self._known = known
        self._elsewhere = elsewhere
        self._limits = limits or Limits()
        self._reread = reread
        self._allow_deletion = allow_deletion
        self._kept: set[str] = set()  # uris of what is there, and of folders that failed
        self._folders: list[str] = []  # and archives, those that failed
        self._yielded: Counter[str] = Counter()  # by a function, for all partitions, by ending

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
        for found in self._found():
            try:
                if isinstance(found, SourceError):
                    raise found
                now = datetime.now(UTC)
                record = self._read(found)
                for changed in self._examined(record, now) if record else ():
                    yield changed.raw(), changed
            except SourceError as exc:
                self._fail(exc)

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

    def _examined(self, record: Record, now: datetime) -> Iterator[Changed]:
        """What is to be stored of a document, or of each document in an archive."""
        size = len(record.raw())
        self.counts.bytes_read += size
        if not archives.is_archive(record):
            if changed := self._examine(record, size, now):
                yield changed
            return
        self.counts.seen -= 1
        for member in archives.members(record, self._source.max_bytes):
            self.counts.seen += 1
            self._kept.add(member.uri)
            if isinstance(member, SourceError):
                self._fail(member)
            elif changed := self._examine(member, size, now):
                yield changed

    def _examine(self, record: Record, size: int, now: datetime) -> Changed | None:
        """What to store, or None if what is stored is right."""
        known = self._known.get(record.uri)
        content_hash = self._source.content_hash(record.identity())
        same = known is not None and known.content_hash == content_hash
        modified_at = record.modified_at or (known.modified_at if known and same else now)
        stamp = (size, modified_at)
        if known and same and not self._reread and (known.bytes, known.modified_at) == stamp:
            self.counts.unchanged += 1
            return None
        record = replace(record, modified_at=modified_at)
        return Changed(record, content_hash, size, now, is_new=known is None, is_same=same)

    def _read(self, found: Found | Record) -> Record | None:
        """The content; None if that need not be looked at, or is gone."""
        if isinstance(found, Record):
            return checked(found, self._source.max_bytes)
        if not self._reread and self._is_stored(found):
            return None
        content = files.read(self._source, found)
        if content is None:
            self._kept.discard(found.uri)
            return None
        found, raw = content
        return Record(found.uri, raw, modified_at=found.modified_at)

    def _is_stored(self, found: Found) -> bool:
        """Whether a file, or each member of an archive, is stored as it is; counted if it is."""
        uris = {found.uri}
        if archives.is_named(found.uri) and found.uri not in self._known:
            with suppress(OSError), files.opened(self._source, found) as file:
                uris = archives.listed(found.uri, file)
        stored = [self._known[uri] for uri in uris if uri in self._known]
        if not uris or len(stored) < len(uris) or not all(self._is_same(k, found) for k in stored):
            return False
        self._kept |= uris
        self.counts.seen += len(uris) - 1
        self.counts.unchanged += len(uris)
        return True

    def _is_same(self, known: Known, found: Found) -> bool:
        return (
            (known.bytes, known.modified_at) == (found.bytes, found.modified_at)
            and known.modified_at < known.ingested_at - _RACY
            and self._source.made(known.content_hash)
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
