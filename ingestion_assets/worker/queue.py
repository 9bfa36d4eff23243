"""What the worker works over: texts are claimed, then completed, failed or released."""

import os
import socket
from collections.abc import Sequence
from typing import Protocol
from uuid import uuid4

from ingestion_assets import tracing
from ingestion_assets.changes import Text, Vectors
from ingestion_assets.store import claims
from ingestion_assets.store.claims import Depth
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.kept import KeptConnections
from ingestion_assets.store.ledger import Failed


class Queue(Protocol):
    """Texts that wait for vectors. Every call is a short transaction of its own.

    Any of them raises StoreUnavailableError when Postgres is away, and may then be repeated.
    """

    @property
    def name(self) -> str:
        """Names it in figures and logs."""

    @property
    def channels(self) -> Sequence[str]:
        """What is notified when texts come in."""

    def claim(self, limit: int) -> list[Text]:
        """Up to so many texts, which nobody else gets while their lease lasts."""

    def complete(self, vectors: Vectors) -> int:
        """Store vectors; returns how many, the rest having changed meanwhile."""

    def fail(self, failures: Sequence[Failed]) -> None:
        """Write down what failed: it is tried again later, or never if its text is at fault."""

    def renew(self) -> None:
        """Extend the lease of all that is claimed."""

    def release(self) -> None:
        """Give back all that is claimed."""

    def depth(self) -> Depth:
        """How many texts there are, by state."""


class ChunkQueue:
    """The chunks of all sources that have no vector in a generation yet."""

    channels = (claims.CHANNEL,)

    def __init__(self, connections: KeptConnections, generation: Generation) -> None:
        searched = generation.status == "active"
        self.name = "chunks" if searched else f"generation {generation.generation_id}"
        self._connections = connections
        self._generation = generation
        self._owner = owner()

    def claim(self, limit: int) -> list[Text]:
        with self._connections.one() as connection:
            return claims.claim(connection, self._generation, self._owner, limit=limit)

    def complete(self, vectors: Vectors) -> int:
        of = {"ingestion.rows": len(vectors.ids)}
        with tracing.span("commit", of), self._connections.one() as connection:
            return claims.complete(connection, self._generation, vectors)

    def fail(self, failures: Sequence[Failed]) -> None:
        with self._connections.one() as connection:
            claims.fail(connection, self._generation, failures)

    def renew(self) -> None:
        with self._connections.one() as connection:
            claims.renew(connection, self._owner)

    def release(self) -> None:
        with self._connections.one() as connection:
            claims.release(connection, self._owner)

    def depth(self) -> Depth:
        with self._connections.one() as connection:
            return claims.depth(connection, self._generation)


def owner() -> str:
    """A name that no other worker has, and that tells an operator whose it is."""
    return f"worker {socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
