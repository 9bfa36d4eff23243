"""Writers of one partition: batches in, counts out, a transaction for each batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ingestion_assets import tracing
from ingestion_assets.changes import Changes, Vectors
from ingestion_assets.chunks.reconcile import Chunked
from ingestion_assets.documents.document import Document
from ingestion_assets.errors import IngestionError
from ingestion_assets.store import canary, chunks, claims, documents, embeddings, ledger
from ingestion_assets.store.claims import Left
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.generations.activation import activate_when_covered
from ingestion_assets.store.ledger import Failed

Batch_contra = TypeVar("Batch_contra", contravariant=True)


class PartitionWriter(Protocol[Batch_contra]):
    """Writes one partition of one table; the caller holds the partition's lock."""

    def write(self, batch: Batch_contra) -> None:
        """Commit one batch."""

    def finish(self) -> dict[str, int]:
        """Complete the partition durably; counts by name, `rows` among them."""


@dataclass(slots=True)
class DocumentsWriter:
    """Writes the documents of a partition."""

    connection: Connection
    partition_key: str

    def write(self, batch: Changes[Document]) -> None:
        with tracing.span("commit", {"ingestion.rows": len(batch.rows)}):
            documents.write(self.connection, batch)

    def finish(self) -> dict[str, int]:
        return {"rows": documents.finish(self.connection, self.partition_key)}


@dataclass(slots=True)
class ChunksWriter:
    """Writes the chunks of a partition."""

    connection: Connection
    partition_key: str

    def write(self, batch: Chunked) -> None:
        with tracing.span("commit", {"ingestion.rows": len(batch.new) + len(batch.moved)}):
            chunks.write(self.connection, batch)

    def finish(self) -> dict[str, int]:
        return {"rows": chunks.finish(self.connection, self.partition_key)}


@dataclass(slots=True)
class EmbeddingsWriter:
    """Writes the vectors of a partition, and why some of its chunks have none.

    What befell a text before, in any partition, is not tried again: its vector is copied, and so
    is its quarantine.
    """

    connection: Connection
    partition_key: str
    generation: Generation
    _reused: int = field(default=0, init=False)
    _stored: int = field(default=0, init=False)

    @property
    def owner(self) -> str:
        """For whom the partition's texts are claimed."""
        return claims.run_owner(self.partition_key)

    def begin(self) -> None:
        """Take up what a run that died left, and treat texts as they were before; at first."""
        self.release()
        ledger.enqueue_missing(self.connection, self.generation, self.partition_key)
        self._treat_twins()

    def known_canary(self) -> NDArray[np.float32] | None:
        """The canary's vector of the generation; none before its first vectors."""
        return canary.stored(self.connection, self.generation)

    def keep_canary(self, vector: NDArray[np.float32]) -> None:
        """Commit the canary's vector, if the generation has none; before its first vectors."""
        canary.keep(self.connection, self.generation, vector)

    def write(self, batch: Vectors) -> None:
        with tracing.span("commit", {"ingestion.rows": len(batch.ids)}):
            self._stored += embeddings.write(self.connection, self.generation, batch)

    def reject(self, failures: Sequence[Failed]) -> None:
        """Commit why some texts got no vector; each chunk at most once."""
        ledger.record(self.connection, self.generation, failures)

    def give_up(self, error: IngestionError) -> None:
        """Commit why the rest of the partition got no vector."""
        ledger.give_up(self.connection, self.generation, self.partition_key, self.owner, error)

    def release(self) -> None:
        """Give back the texts that are claimed and neither stored nor rejected."""
        claims.release(self.connection, self.owner, self.partition_key)

    def left(self) -> Left:
        """How much of the partition workers have in hand, and how much nobody has."""
        return claims.left(self.connection, self.generation, self.partition_key)

    def finish(self) -> dict[str, int]:
        self._treat_twins()
        coverage = embeddings.finish(self.connection, self.generation, self.partition_key)
        activate_when_covered(self.connection, self.generation)
        return {
            "rows": coverage.embedded,
            "chunks": coverage.chunks,
            "embedded": self._stored,
            "reused": self._reused,
            "quarantined": coverage.quarantined,
            "missing": coverage.missing,
        }

    def _treat_twins(self) -> None:
        self._reused += embeddings.reuse(self.connection, self.generation, self.partition_key)
        ledger.quarantine_twins(self.connection, self.generation, self.partition_key)
