"""Sources against documents, and documents against their chunks: what a run would do."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from ingestion_assets.changes import Changes
from ingestion_assets.documents.document import Document, Known
from ingestion_assets.errors import SourceError
from ingestion_assets.sources import Reconciliation, Source
from ingestion_assets.sources.origins import origin
from ingestion_assets.store import chunks, documents, sources
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import EXAMPLES, Finding, Kind, finding
from ingestion_assets.store.rebucket import rebucket, stored_buckets

Fingerprint: TypeAlias = Callable[[Source], str]

_ALIEN = """
SELECT uri FROM ingestion.documents WHERE source = %s AND partition_key <> ALL(%s)
"""

MISSING = Kind(
    "documents_missing", "Files of a source that are not stored.", "runs their partitions."
)
STALE = Kind("documents_stale", "Documents whose file has changed since.", "runs their partitions.")
GONE = Kind(
    "documents_orphaned",
    "Documents whose file is gone: they are still found.",
    "runs their partitions, which delete them, unless it is most of a source.",
)
SPLIT = Kind(
    "chunks_stale",
    "Documents whose chunks are of an older text, or were made by another chunker.",
    "runs their partitions, which split them again.",
)
MISPLACED = Kind(
    "documents_misplaced",
    "Documents in another partition than their name says: no run keeps them up to date.",
    "moves them, with their chunks.",
)
UNREADABLE = Kind(
    "sources_unreadable",
    "Sources that cannot be compared with their documents.",
    "Mount it, or correct sources.yaml.",
    mends=False,
)
BUCKETS = Kind(
    "buckets_differ",
    "Sources with another number of buckets in sources.yaml than their documents are stored under.",
    "Set `buckets` back, then: ingest rebucket SOURCE N",
    mends=False,
)
UNLISTED = Kind(
    "sources_unlisted",
    "Sources that are stored, and not listed any more: their documents are still found.",
    "List it again, or delete them: ingest sources remove SOURCE",
    mends=False,
)


@dataclass(slots=True)
class _Tally:
    """How many there are, and a few of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            self.count += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(name)


@dataclass(slots=True)
class Comparison:
    """What was found of sources so far.

    Attributes:
        partitions: those that a run has to bring up to date.
        misplaced: sources with documents in wrong partitions.
    """

    tallies: dict[Kind, _Tally] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=list)
    misplaced: list[Source] = field(default_factory=list)

    def add(self, kind: Kind, names: Iterable[str]) -> bool:
        """Count some damage; whether there was any."""
        tally = self.tallies.setdefault(kind, _Tally())
        before = tally.count
        tally.add(names)
        return tally.count > before

    def findings(self) -> list[Finding]:
        """What was found."""
        return [
            Finding(kind, tally.count, tuple(tally.examples))
            for kind, tally in self.tallies.items()
            if tally.count
        ]


class SourcesCheck:
    """Compares sources with their documents, and these with their chunks, as their runs do.

    Documents whose time or size differ are read. What can only be read, as a function's documents
    and pages of the web, is compared by its runs.

    Args:
        busy: partitions that are left out, since a run is at work there.
        fingerprint: of a source's chunker.
    """

    def __init__(
        self, listed: Sequence[Source], busy: Sequence[str], fingerprint: Fingerprint
    ) -> None:
        self._listed, self._busy, self._fingerprint = listed, frozenset(busy), fingerprint

    def compare(self, connection: Connection) -> Comparison:
        """Look at all partitions, one after the other."""
        found = Comparison()
        for source in self._listed:
            stored = stored_buckets(connection, source.name)
            if stored not in (None, source.buckets):
                found.add(BUCKETS, [f"{source.name}: {source.buckets} instead of {stored}"])
            else:
                self._compare(connection, source, found)
        return found

    def _compare(self, connection: Connection, source: Source, found: Comparison) -> None:
        keys = source.partition_keys()
        aliens = connection.execute(_ALIEN, (source.name, keys))
        if found.add(MISPLACED, (f"{source.name}/{uri}" for (uri,) in aliens)):
            found.misplaced.append(source)
        for key in keys:
            if key not in self._busy:
                self._compare_partition(connection, source, key, found)

    def _compare_partition(
        self, connection: Connection, source: Source, key: str, found: Comparison
    ) -> None:
        known = documents.known(connection, key)
        strangers = [uri for uri in known if source.partition_key(uri) != key]
        if found.add(MISPLACED, (f"{source.name}/{uri}" for uri in strangers)):
            found.misplaced.append(source)
        mine = {uri: row for uri, row in known.items() if uri not in set(strangers)}
        comparable = origin(source).watched() is not None
        changed = comparable and _compare_files(connection, source, key, mine, found)
        due = set(chunks.outdated(connection, key, self._fingerprint(source)))
        unsplit = [f"{source.name}/{uri}" for uri, row in mine.items() if row.document_id in due]
        if found.add(SPLIT, unsplit) or changed:
            found.partitions.append(key)


def move(connection: Connection, misplaced: Iterable[Source]) -> None:
    """Put documents into the partitions that their names say.

    Raises:
        StoreUnavailableError: a run is writing one of the source's partitions; retryable.
    """
    for source in {source.name: source for source in misplaced}.values():
        rows = connection.execute(
            "SELECT DISTINCT partition_key FROM ingestion.documents WHERE source = %s",
            (source.name,),
        )
        keys = sorted({*source.partition_keys(), *(key for (key,) in rows)})
        rebucket(connection, source.name, source.buckets, keys=keys, key_of=source.partition_key)


def unlisted(connection: Connection, listed: Sequence[Source]) -> list[Finding]:
    """Sources that are stored, and not listed."""
    names = [source.name for source in listed]
    return finding(UNLISTED, sources.unlisted(connection, names, but=("table", "adopted")))


def _compare_files(
    connection: Connection,
    source: Source,
    key: str,
    known: dict[str, Known],
    found: Comparison,
) -> bool:
    """Compare a partition's files; whether a run would change anything."""
    elsewhere = partial(documents.elsewhere, connection, source.name, key)
    # Nothing is deleted here; the run asks before it deletes most of a source.
    reading = Reconciliation(source, key, known, elsewhere, allow_deletion=True)
    uris = {row.document_id: uri for uri, row in known.items()}
    changed = False
    try:
        for change in reading:
            changed |= _add(source, change, known, found)
            gone = (f"{source.name}/{uris[row_id]}" for row_id in change.gone)
            changed |= found.add(GONE, gone)
    except SourceError as error:
        found.add(UNREADABLE, [f"{source.name}: {error}"])
    return changed


def _add(
    source: Source, change: Changes[Document], known: dict[str, Known], found: Comparison
) -> bool:
    """Count new and changed documents; those that have a new time stamp only are neither."""
    new = [d.uri for d in change.rows if d.uri not in known]
    old = [
        d.uri for d in change.rows if d.uri in known and known[d.uri].content_hash != d.content_hash
    ]
    missing = found.add(MISSING, (f"{source.name}/{uri}" for uri in new))
    return found.add(STALE, (f"{source.name}/{uri}" for uri in old)) or missing
