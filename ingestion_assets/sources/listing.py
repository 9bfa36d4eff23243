"""Documents by name, size and time in, a digest for each partition of their source out."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from ingestion_assets.errors import SourceError
from ingestion_assets.sources import archives
from ingestion_assets.sources.origin import Found
from ingestion_assets.sources.origins import origin
from ingestion_assets.sources.source import Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MODULUS = 2**64


def digests(source: Source, stored: Iterable[Found] | None = None) -> dict[str, str]:
    """A digest of every partition, by its key; it changes when a run would find a difference.

    No document is read. A folder that cannot be listed changes the digests of all partitions. Of
    what cannot be watched the digests change with time, as `of_time` says.

    Args:
        stored: documents, in any order, to be taken for what is there.

    Raises:
        SourceError: the origin is missing, unreadable, or gives way to another during the walk.
    """
    where = origin(source)
    listed = where.watched() if stored is None else stored
    if listed is None:
        now = datetime.now(UTC)
        return {key: of_time(source, now) for key in source.partition_keys()}
    sums = dict.fromkeys(source.partition_keys(), _of_settings(source))
    for found in _whole(listed):
        if isinstance(found, SourceError):
            for key in sums:
                sums[key] += _mark(str(found))
        else:
            sums[source.partition_key(found.uri)] += _mark(_version(found, where.sized))
    return {key: _shown(total) for key, total in sums.items()}


def of_time(source: Source, at: datetime) -> str:
    """The digest that all partitions of a source have at a time if only reading tells of changes.

    It is another one after each `interval`; without one it is always the same.
    """
    every = interval(source)
    turn = "" if every is None else str((at - _EPOCH) // timedelta(seconds=max(every, 1)))
    return _shown(_of_settings(source) + _mark(f"read at turn {turn}"))


def interval(source: Source) -> float | None:
    """Seconds between two looks at a source; none means no look but the first."""
    return origin(source).every if source.every is None else source.every


def mark(source: Source) -> str:
    """Names a source with all its settings."""
    return _shown(_of_settings(source))


def _whole(listed: Iterable[Found | SourceError]) -> Iterator[Found | SourceError]:
    """Of an archive itself in the place of its members, which have its size and time."""
    seen: set[str] = set()
    for found in listed:
        archive = archives.owner(found.uri)
        if archive == found.uri or isinstance(found, SourceError):
            yield found
        elif archive not in seen:
            seen.add(archive)
            yield replace(found, uri=archive)


def _of_settings(source: Source) -> int:
    return _mark(json.dumps(source.settings(), sort_keys=True))


def _version(found: Found, sized: bool) -> str:
    if found.validator is not None:
        return f"{found.uri}\0{found.validator}"
    size = found.bytes if sized else None
    at = found.modified_at and (found.modified_at - _EPOCH) // _MICROSECOND
    return f"{found.uri}\0{size}\0{at}"


def _shown(total: int) -> str:
    return f"{total % _MODULUS:016x}"


def _mark(text: str) -> int:
    """Marks are added up, so that their order does not matter."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
