"""Assets in, tables out, and back as data frames."""

import asyncio
import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import astuple
from functools import partial
from itertools import chain
from time import perf_counter, time
from typing import Any, TypeVar

import dagster as dg
import pandas as pd
from pydantic import PrivateAttr

from ingestion_assets import tracing
from ingestion_assets.chunks.reconcile import Splitting
from ingestion_assets.defs import tally
from ingestion_assets.defs.drain import drain
from ingestion_assets.defs.event_loop import run_on
from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.filling import Filling, Fillings
from ingestion_assets.defs.report import embedded, filled, reconciled, timed
from ingestion_assets.defs.resources import StoreResource
from ingestion_assets.errors import ConfigError
from ingestion_assets.logs import about
from ingestion_assets.metrics import Figure
from ingestion_assets.pace import Latencies
from ingestion_assets.sources import Reconciliation
from ingestion_assets.store import claims, frames, looks
from ingestion_assets.store.connection import Connection, partition_lock
from ingestion_assets.store.frames import Frames
from ingestion_assets.store.writers import (
    ChunksWriter,
    DocumentsWriter,
    EmbeddingsWriter,
    PartitionWriter,
)

logger = logging.getLogger(__name__)

Batch = TypeVar("Batch")

_READERS = {"sources": frames.documents, "chunks": frames.chunks, "embeddings": frames.embeddings}


class PgvectorIOManager(dg.ConfigurableIOManager):
    """Writes a partition as its difference, committing batch by batch, and reads it as frames.

    An input annotated `pandas.DataFrame`, or not at all, gets the whole partition; one annotated
    `Frames` gets it page by page, in bounded memory.
    """

    store: dg.ResourceDependency[StoreResource]
    _loop: asyncio.AbstractEventLoop | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        self._loop = context.event_loop

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        key, stage = context.partition_key, context.asset_key.to_user_string()
        with (
            reported(),
            about(run=context.run_id, partition=key),
            tracing.run(context.run_id),
            tracing.span(stage, {"dagster.run_id": context.run_id, "dagster.partition": key}),
            tally.tallied(self.store, key, stage, partial(_counted, obj)),
            self.store.connect() as connection,
            partition_lock(connection, key),
        ):
            counts = self._write(obj, connection, key)
        if isinstance(obj, Fillings):
            with reported():  # it may take long, and needs the partition no more
                obj.finish()
        context.add_output_metadata({"dagster/row_count": counts.pop("rows"), **counts})

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | Frames:
        asset = context.asset_key.to_user_string()
        if asset not in _READERS:
            raise ConfigError(f"pgvector stores no {asset!r}; give it an IO manager of its own")
        keys = context.asset_partition_keys
        pages = Frames(chain.from_iterable(self.store.stream(_READERS[asset], key) for key in keys))
        return pages if context.dagster_type.typing_type is Frames else pages.whole()

    def _write(self, obj: Any, connection: Connection, key: str) -> dict[str, Any]:
        match obj:
            case Reconciliation():
                counts = _drain(iter(obj), DocumentsWriter(connection, key))
                for failure in obj.failures:
                    extra = {"document": failure.uri}
                    logger.warning("It is not read: %s", failure.error_class, extra=extra)
                looks.record(connection, key, map(astuple, obj.failures))
                return {**counts, **reconciled(obj)}
            case Splitting():
                counts = _drain(iter(obj), ChunksWriter(connection, key))
                return {**counts, **obj.metadata()}
            case Fillings(parts):
                return filled(parts, [self._fill(part, connection, key) for part in parts])
        raise ConfigError(
            f"pgvector stores no {type(obj).__name__}; give the asset an IO manager of its own"
        )

    def _fill(self, part: Filling, connection: Connection, key: str) -> dict[str, Any]:
        writer = EmbeddingsWriter(connection, key, part.generation)
        renew = partial(self.store.call, claims.renew, writer.owner)
        counts = run_on(self._event_loop(), drain(part.stream, writer, renew))
        return {**counts, **embedded(part.generation, part.stream)}

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("Dagster gave no event loop; pass event_loop= to build_resources")
        return self._loop


def _counted(obj: Any, source: str) -> Sequence[Figure]:
    match obj:
        case Reconciliation():
            return tally.documents(obj, source)
        case Splitting():
            return tally.chunks(obj, source)
        case Fillings(parts):
            figures = (tally.vectors(p.generation.model, p.stream, source) for p in parts)
            return list(chain.from_iterable(figures))
    return ()


def _drain(batches: Generator[Batch, None, None], writer: PartitionWriter[Batch]) -> dict[str, Any]:
    started, begun = time(), perf_counter()
    latencies = Latencies()
    with closing(batches):  # or the processes that extract would outlive an interrupt
        for batch in latencies.timed(batches):
            writer.write(batch)
    counts = writer.finish()
    return {**counts, **timed(latencies, started, perf_counter() - begun)}
