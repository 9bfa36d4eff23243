"""Documents by name, size and time in, a digest for each partition of their source out."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from ingestion_assets.errors import SourceError
from ingestion_assets.sources.origin import Found
from ingestion_assets.sources.origins import origin
from ingestion_assets.sources.source import Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MODULUS = 2**64


_UNTOLD = SourceError("", "what there is is not known before it is read")


def digests(source: Source, stored: Iterable[Found] | None = None) -> dict[str, str]:
    """A digest of every partition, by its key; it changes when a run would find a difference.

    No document is read. A folder that cannot be listed changes the digests of all partitions. The
    digests of what cannot be watched differ from what is stored, and change with its settings.

    Args:
        stored: documents, in any order, to be taken for what is there.

    Raises:
        SourceError: the root is missing, unreadable, or gives way to another during the walk.
    """
    settings = json.dumps(asdict(source), default=str, sort_keys=True)
    sums = dict.fromkeys(source.partition_keys(), _mark(settings))
    for found in _watched(source) if stored is None else stored:
        if isinstance(found, SourceError):
            for key in sums:
                sums[key] += _mark(str(found))
        else:
            sums[source.partition_key(found.uri)] += _mark(_version(found))
    return {key: f"{total % _MODULUS:016x}" for key, total in sums.items()}


def _watched(source: Source) -> Iterable[Found | SourceError]:
    found = origin(source).watched()
    return [_UNTOLD] if found is None else found


def _version(found: Found) -> str:
    return f"{found.uri}\0{found.bytes}\0{(found.modified_at - _EPOCH) // _MICROSECOND}"


def _mark(text: str) -> int:
    """Marks are added up, so that their order does not matter."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
