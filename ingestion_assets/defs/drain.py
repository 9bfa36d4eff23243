"""An embedding stream into its partition: HTTP on Dagster's loop, SQL in threads beside it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.changes import Vectors
from ingestion_assets.embedding import EmbeddingStream
from ingestion_assets.errors import IngestionError, StoreUnavailableError
from ingestion_assets.store.claims import LEASE, Left
from ingestion_assets.store.ledger import Failed

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

_POLL = 0.5  # seconds between two looks at what workers have in hand


class VectorsWriter(Protocol):
    """Writes the vectors of what a run has claimed; each call is a transaction or none."""

    @property
    def partition_key(self) -> str:
        """Names what is written, for people."""

    def begin(self) -> None:
        """Take up what a run that died left."""

    def known_canary(self) -> NDArray[np.float32] | None:
        """The canary's vector in an earlier run, if it is known."""

    def keep_canary(self, vector: NDArray[np.float32]) -> None:
        """Commit the canary's vector, before the first batch."""

    def write(self, batch: Vectors) -> None:
        """Commit one batch."""

    def reject(self, failures: Sequence[Failed]) -> None:
        """Commit why some texts got no vector."""

    def give_up(self, error: IngestionError) -> None:
        """Commit why the rest got none."""

    def release(self) -> None:
        """Give back what is claimed and neither stored nor rejected."""

    def left(self) -> Left:
        """What others have in hand, and what nobody has."""

    def finish(self) -> dict[str, int]:
        """Complete the work; counts by name."""


async def drain(
    stream: EmbeddingStream,
    writer: VectorsWriter,
    renew: Callable[[], None],
    *,
    every: float = LEASE / 3,
) -> dict[str, int]:
    """Write what is embedded while the next batches are; the writer's counts.

    Args:
        renew: prolongs the lease of the texts that are claimed, on a connection of its own.
        every: seconds between two renewals.

    Raises:
        StoreUnavailableError: a worker gave back texts that were left to it; to be tried again.
    """
    await _in_thread(writer.begin)
    renewing = asyncio.create_task(_repeat(renew, every))
    try:
        await _write(stream, writer)
    except IngestionError as exc:
        await _in_thread(writer.give_up, exc)
        raise
    finally:
        renewing.cancel()
        await _in_thread(writer.release)
    await _wait_for_workers(writer)
    return await _in_thread(writer.finish)


async def _write(stream: EmbeddingStream, writer: VectorsWriter) -> None:
    stream.canary = known = await _in_thread(writer.known_canary)
    try:
        async with contextlib.aclosing(aiter(stream)) as batches:
            async for vectors in batches:
                if known is None and stream.canary is not None:
                    await _in_thread(writer.keep_canary, stream.canary)
                    known = stream.canary
                await _in_thread(writer.write, vectors)
                await _reject(stream, writer)
    finally:
        await _reject(stream, writer)


async def _reject(stream: EmbeddingStream, writer: VectorsWriter) -> None:
    if rejected := stream.take_rejected():
        for text, error in ((r.text, r.error) for r in rejected):
            extra = {"chunk": text.chunk_id}
            logger.warning("A text is rejected: %s", type(error).__name__, extra=extra)
        await _in_thread(writer.reject, [Failed.of(r.text, r.error) for r in rejected])


async def _wait_for_workers(writer: VectorsWriter) -> None:
    """Wait until no worker has a text of the partition in hand: its lease ends if it dies."""
    first = found = await _in_thread(writer.left)
    while found.in_hand:
        await asyncio.sleep(_POLL)
        found = await _in_thread(writer.left)
    if found.pending > first.pending:
        raise StoreUnavailableError(
            f"{found.pending} chunks of {writer.partition_key!r} were given back by a worker that"
            " ended; embed them with the next attempt"
        )


async def _repeat(renew: Callable[[], None], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        # A lease that lapses costs nothing but texts that are embedded twice.
        with contextlib.suppress(StoreUnavailableError):
            await asyncio.to_thread(renew)


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call in a thread; when cancelled, only after its end: the next call needs its connection."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
