"""An attached table as the place of a run: its texts in pages, their vectors into its columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.errors import IngestionError
from ingestion_assets.store.attached.queue import AttachedQueue
from ingestion_assets.store.claims import Left
from ingestion_assets.store.ledger import Failed

_PAGE = 1000  # rows


@dataclass(slots=True)
class AttachedWriter:
    """Claims all rows that wait, page by page, and writes what becomes of them.

    Every row has a vector of its own, while an embedding stream sends equal texts once: so the
    texts go out under the names of their rows.
    """

    queue: AttachedQueue
    _hashes: dict[UUID, bytes] = field(default_factory=dict, init=False)
    _stored: int = field(default=0, init=False)
    _failed: int = field(default=0, init=False)

    @property
    def partition_key(self) -> str:
        """Names it in messages."""
        return self.queue.name

    def pages(self) -> Iterator[list[Text]]:
        """What waits, until nothing more does."""
        while texts := self.queue.claim(_PAGE):
            self._hashes.update({text.chunk_id: text.content_hash for text in texts})
            yield [replace(text, content_hash=text.chunk_id.bytes) for text in texts]

    def begin(self) -> None:
        """Take up what a run that died left."""
        self.queue.release()

    def known_canary(self) -> NDArray[np.float32] | None:
        """None: an attachment keeps the model's digest, and no vector to compare."""

    def keep_canary(self, vector: NDArray[np.float32]) -> None:
        """Keep nothing."""

    def write(self, batch: Vectors) -> None:
        hashes = [self._hashes.pop(row) for row in batch.ids]
        self._stored += self.queue.complete(replace(batch, hashes=hashes))

    def reject(self, failures: Sequence[Failed]) -> None:
        """Commit why some texts got no vector."""
        known = [replace(f, content_hash=self._hashes.pop(f.chunk_id)) for f in failures]
        self.queue.fail(known)
        self._failed += len(known)

    def give_up(self, error: IngestionError) -> None:
        """Leave the rest to the next run: nothing is said against those rows."""

    def release(self) -> None:
        """Give back what is claimed and neither stored nor rejected."""
        self.queue.release()

    def left(self) -> Left:
        """Nothing to wait for: what workers have in hand is theirs."""
        return Left(0, 0)

    def finish(self) -> dict[str, int]:
        return {"embedded": self._stored, "rejected": self._failed}
