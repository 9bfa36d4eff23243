"""Files to read, and a store that remembers what was read of them."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ingestion_assets.changes import Changes
from ingestion_assets.documents.document import Document, Known
from ingestion_assets.sources import Reconciliation, Source

LONG_AGO = 1_700_000_000  # seconds


def put(root: Path, uri: str, content: bytes = b"words", modified: float = LONG_AGO) -> Path:
    path = root / uri
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (modified, modified))
    return path


class Store:
    """What a store remembers, by uri, when it applies changes.

    `changes` are those of the last run.
    """

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.changes: list[Changes[Document]] = []

    def run(self, source: Source, key: str = "handbook/00", **how: Any) -> Reconciliation:
        own = {uri: k for uri, k in self.known.items() if source.partition_key(uri) == key}
        others = [uri for uri in self.known if uri not in own]

        def elsewhere(folders: Sequence[str]) -> Counter[str]:
            return Counter(Path(u).suffix for u in others if not u.startswith(tuple(folders)))

        reconciliation = Reconciliation(source, key, own, elsewhere, **how)
        self.changes = list(reconciliation)
        for change in self.changes:
            for row in change.rows:
                self.known[row.uri] = Known(
                    document_id=row.document_id,
                    bytes=row.bytes,
                    modified_at=row.modified_at,
                    ingested_at=row.ingested_at,
                    content_hash=row.content_hash,
                    validator=row.metadata.get("validator"),
                )
            self.known = {u: k for u, k in self.known.items() if k.document_id not in change.gone}
        return reconciliation


def counts(reconciliation: Reconciliation) -> dict[str, int]:
    return {name: n for name, n in asdict(reconciliation.counts).items() if n}
