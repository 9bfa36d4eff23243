"""The three assets: documents, their chunks, and the chunks' vectors."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from ingestion_assets import tracing
from ingestion_assets.chunks.reconcile import Splitting
from ingestion_assets.defs import tables, tally
from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.fidelity import look_at_start
from ingestion_assets.defs.filling import Fillings, fillings
from ingestion_assets.defs.partitions import partitions
from ingestion_assets.defs.resources import (
    CatalogResource,
    ChunkerResource,
    ExtractionResource,
    OllamaResource,
    StoreResource,
)
from ingestion_assets.logs import about
from ingestion_assets.sources import Reconciliation
from ingestion_assets.store import baselines
from ingestion_assets.store import chunks as chunk_store
from ingestion_assets.store import documents as document_store
from ingestion_assets.store.sources import register

EMBEDDING_POOL = "ollama"
FIDELITY_SECONDS = 3600.0  # between two looks at the model when runs begin
RETRIES = dg.RetryPolicy(
    max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


def _stored_in(
    table: str,
    columns: dg.TableSchema,
    *,
    kinds: set[str],
    deps: Sequence[dg.AssetsDefinition] = (),
    pool: str | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """What the three assets have in common: partitions, table, retries, group, owners."""
    return dg.asset(
        deps=deps,
        partitions_def=partitions,
        io_manager_key="pgvector",
        retry_policy=RETRIES,
        pool=pool,
        group_name="ingestion",
        owners=["team:ingestion"],
        kinds=kinds,
        metadata={
            "dagster/table_name": f"ingestion.{table}",
            "dagster/column_schema": columns,
            "documentation": dg.MetadataValue.path("docs/dagster.md"),
        },
    )


class SourcesConfig(dg.Config):
    """What a run reads."""

    root: str | None = Field(
        default=None, description="The folder to read, for this run, instead of the source's root."
    )
    reread: bool = Field(default=False, description="Read every document, changed or not.")
    allow_deletion: bool = Field(
        default=False, description="Delete what is gone, though it be most of the source."
    )


@_stored_in("documents", tables.DOCUMENTS, kinds={"python", "postgres"})
@reported()
def sources(
    context: dg.AssetExecutionContext,
    config: SourcesConfig,
    catalog: CatalogResource,
    extraction: ExtractionResource,
    store: StoreResource,
) -> Reconciliation:
    """One row per document of the source: its text, title, metadata and content hash.

    Only new and changed documents are read; documents that are gone are deleted, with their
    chunks and vectors.
    """
    source = catalog.source(context.partition_key)
    if config.root is not None:
        source = source.moved(Path(config.root))
    store.call(register, source.name, source.kind, source.buckets, source.settings())
    known = store.call(document_store.known, context.partition_key)
    return Reconciliation(
        source,
        context.partition_key,
        known,
        lambda folders: store.call(
            document_store.elsewhere, source.name, context.partition_key, folders
        ),
        limits=extraction.limits(),
        reread=config.reread,
        allow_deletion=config.allow_deletion,
    )


class ChunksConfig(dg.Config):
    """What a run splits."""

    resplit: bool = Field(default=False, description="Split every document, changed or not.")


@_stored_in("chunks", tables.CHUNKS, kinds={"python", "postgres"}, deps=[sources])
@reported()
def chunks(
    context: dg.AssetExecutionContext,
    config: ChunksConfig,
    catalog: CatalogResource,
    store: StoreResource,
    chunking: ChunkerResource,
) -> Splitting:
    """One row per chunk: its document, position, heading path and text.

    Only documents that changed, or were split by another chunker, are split again; a chunk whose
    text is the same keeps its id.
    """
    source = catalog.source(context.partition_key)
    chunker = chunking.chunker(source.chunker)
    documents = store.stream(
        chunk_store.unchunked,
        context.partition_key,
        chunker.fingerprint(source.prefix),
        source.prefix,
        everything=config.resplit,
    )
    return Splitting(documents, lambda ids: store.call(chunk_store.stored, ids), chunker)


class EmbeddingConfig(dg.Config):
    """What a run embeds."""

    only_failed: bool = Field(
        default=False,
        description="Only what failed before, texts that were put in quarantine included.",
    )
    again: bool = Field(default=False, description="Embed every text, whatever is stored of it.")


@_stored_in(
    "embeddings",
    tables.EMBEDDINGS,
    kinds={"ollama", "pgvector", "postgres"},
    deps=[chunks],
    pool=EMBEDDING_POOL,
)
@reported()
def embeddings(
    context: dg.AssetExecutionContext,
    config: EmbeddingConfig,
    store: StoreResource,
    ollama: OllamaResource,
) -> Fillings:
    """One vector per chunk, in the table of the generation: model, digest, prefixes, options.

    Only chunks without a vector of their present text are embedded; a text that was embedded
    before, anywhere in the generation, is copied inside the database. The generation that is
    searched comes first; then one that is to follow it, and one that is kept to go back to.
    """
    key = context.partition_key
    with about(run=context.run.run_id, partition=key):
        # That no server has the model is a failure like those of the writing, counted there.
        with tally.attempted(store, key, "embeddings"):
            found = fillings(
                store,
                ollama,
                key,
                only_failed=config.only_failed,
                again=config.again and not context.retry_number,
            )
        searched = found.searched
        if searched and store.call(baselines.due, searched, key, FIDELITY_SECONDS):
            with (
                tracing.run(context.run.run_id),
                tracing.span("fidelity", {"dagster.partition": key}),
            ):
                wrong = look_at_start(context.instance, store, ollama, searched)
            if wrong:
                context.log.warning(f"embeddings_fidelity fails: {wrong}")
    return found
