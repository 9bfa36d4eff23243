"""Files by name, size and time in, a digest for each partition of their source out."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from ingestion_assets.errors import SourceError
from ingestion_assets.sources import archives, files
from ingestion_assets.sources.source import Source

Entry = tuple[str, int, datetime]  # uri, bytes, modified at

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MODULUS = 2**64


def digests(source: Source, stored: Iterable[Entry] | None = None) -> dict[str, str]:
    """A digest of every partition, by its key; it changes when a run would find a difference.

    No file is read. A folder that cannot be listed changes the digests of all partitions. A
    function is not called: its digests differ from what is stored, and change with its settings.

    Args:
        stored: documents, in any order, to be taken for the source's files.

    Raises:
        SourceError: the root is missing, unreadable, or gives way to another during the walk.
    """
    settings = json.dumps(asdict(source), default=str, sort_keys=True)
    sums = dict.fromkeys(source.partition_keys(), _mark(settings))
    seen: set[str] = set()  # archives, of which each member has the size and the time
    for entry in _walked(source) if stored is None else stored:
        if isinstance(entry, SourceError):
            for key in sums:
                sums[key] += _mark(str(entry))
        else:
            uri, size, modified_at = entry
            if (archive := archives.owner(uri)) != uri:
                if archive in seen:
                    continue
                seen.add(archive)
            key = source.partition_key(uri)
            sums[key] += _mark(f"{archive}\0{size}\0{(modified_at - _EPOCH) // _MICROSECOND}")
    return {key: f"{total % _MODULUS:016x}" for key, total in sums.items()}


def _walked(source: Source) -> Iterator[Entry | SourceError]:
    if source.python is not None:
        yield SourceError(source.python, "what it yields is not known before it is called")
        return
    for found in files.walk(source):
        if isinstance(found, SourceError):
            yield found
        else:
            yield found.uri, found.bytes, found.modified_at


def _mark(text: str) -> int:
    """Marks are added up, so that their order does not matter."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
