"""The database in; the generation to serve and the queues that there are out."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding import Identity, model_facts
from ingestion_assets.store import canary, generations
from ingestion_assets.store.attached.attachment import Attachment, attachments
from ingestion_assets.store.attached.serve import queue as attached_queue
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation, Recipe
from ingestion_assets.store.kept import KeptConnections
from ingestion_assets.worker.queue import ChunkQueue, Queue, owner

_ANYTHING = """
SELECT EXISTS (SELECT FROM ingestion.chunks) OR EXISTS (SELECT FROM ingestion.attachments)
"""

logger = logging.getLogger(__name__)


class Queues:
    """What one worker sees in a database. A queue stays the same object as long as it is there."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections = KeptConnections(url)
        self._chunks: dict[int, ChunkQueue] = {}
        self._attached: dict[int, Queue] = {}
        self._refused: set[int] = set()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._connections.close()

    def active(self) -> Generation | None:
        """The generation that search reads, if there is one."""
        with self._connections.one() as connection:
            return generations.active(connection)

    def anything_to_embed(self) -> bool:
        """Whether there is anything to open a first generation for."""
        with self._connections.one() as connection:
            row = connection.execute(_ANYTHING).fetchone()
        return row is not None and bool(row[0])

    def open_generation(self, model: Identity) -> Generation:
        """The generation of a model, with all that is stored waiting in it if it is new."""
        with self._connections.one() as connection:
            return generations.open_generation(connection, recipe(model))

    def canary(self, generation: Generation) -> NDArray[np.float32] | None:
        """The canary's vector in the generation; none before its first vectors."""
        with self._connections.one() as connection:
            return canary.stored(connection, generation)

    def keep_canary(self, generation: Generation, vector: NDArray[np.float32]) -> None:
        """Store the canary's vector, unless the generation has one."""
        with self._connections.one() as connection:
            canary.keep(connection, generation, vector)

    def of(self, generation: Generation) -> Sequence[Queue]:
        """The queues of the active generation; none at all if it is another one by now."""
        with self._connections.one() as connection:
            active = generations.active(connection)
            if active is None or active.generation_id != generation.generation_id:
                return []
            return [self._chunks_of(generation), *self._attached_with(connection, generation)]

    def _chunks_of(self, generation: Generation) -> ChunkQueue:
        return self._chunks.setdefault(
            generation.generation_id, ChunkQueue(self._connections, generation)
        )

    def _attached_with(self, connection: Connection, generation: Generation) -> Iterator[Queue]:
        for found in attachments(connection):
            if found.table is None:
                continue
            if _is_for(found, generation):
                yield self._attached.setdefault(
                    found.attachment_id, attached_queue(self._url, found, owner())
                )
            elif found.attachment_id not in self._refused:
                self._refused.add(found.attachment_id)
                logger.warning(
                    "%s is not served: it was attached for %s %.12s, and %s %.12s is active;"
                    " detach it and attach it again",
                    found.title, found.model, found.digest, generation.model, generation.digest,
                )  # fmt: skip


def _is_for(attachment: Attachment, generation: Generation) -> bool:
    """Whether its vectors are those of the generation; rows that become chunks are so always."""
    same = (attachment.model, attachment.digest) == (generation.model, generation.digest)
    return same or attachment.vector_column is None


def recipe(model: Identity) -> Recipe:
    """How a model makes the vectors of documents and queries."""
    facts = model_facts(model.model)
    return Recipe(
        model=model.model,
        digest=model.digest,
        dimensions=model.dimensions,
        document_prefix=facts.document_prefix,
        query_prefix=facts.query_prefix,
        options=model.options,
    )
