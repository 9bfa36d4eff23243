"""The three assets: documents, their chunks, and the chunks' vectors."""

from dataclasses import asdict

import dagster as dg
from pydantic import Field

from ingestion_assets.chunks.reconcile import Splitting
from ingestion_assets.defs import tables
from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.io_manager import Embedding
from ingestion_assets.defs.partitions import partitions
from ingestion_assets.defs.resources import (
    CatalogResource,
    ChunkerResource,
    OllamaResource,
    StoreResource,
    recipe,
)
from ingestion_assets.sources import Reconciliation
from ingestion_assets.store import chunks as chunk_store
from ingestion_assets.store import documents as document_store
from ingestion_assets.store import embeddings as embedding_store
from ingestion_assets.store.generations import open_generation
from ingestion_assets.store.sources import register

EMBEDDING_POOL = "ollama"

_RETRY = dg.RetryPolicy(
    max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
_OWNERS = ["team:ingestion"]
_GROUP = "ingestion"


@dg.asset(
    partitions_def=partitions,
    io_manager_key="pgvector",
    retry_policy=_RETRY,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"python", "postgres"},
    metadata={
        "dagster/table_name": "ingestion.documents",
        "dagster/column_schema": tables.DOCUMENTS,
    },
)
@reported()
def sources(
    context: dg.AssetExecutionContext, catalog: CatalogResource, store: StoreResource
) -> Reconciliation:
    """One row per document of the source: its text, title, metadata and content hash.

    Only new and changed documents are read; documents that are gone are deleted, with their
    chunks and vectors.
    """
    source = catalog.source(context.partition_key)
    config = {**asdict(source), "root": str(source.root)}
    store.call(register, source.name, "files", source.buckets, config)
    known = store.call(document_store.known, context.partition_key)
    return Reconciliation(source, context.partition_key, known)


@dg.asset(
    deps=[sources],
    partitions_def=partitions,
    io_manager_key="pgvector",
    retry_policy=_RETRY,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"python", "postgres"},
    metadata={"dagster/table_name": "ingestion.chunks", "dagster/column_schema": tables.CHUNKS},
)
@reported()
def chunks(
    context: dg.AssetExecutionContext,
    catalog: CatalogResource,
    store: StoreResource,
    chunking: ChunkerResource,
) -> Splitting:
    """One row per chunk: its document, position, heading path and text.

    Only documents that changed, or were split by another chunker, are split again; a chunk whose
    text is the same keeps its id.
    """
    prefix = catalog.source(context.partition_key).prefix
    chunker = chunking.chunker()
    documents = store.stream(
        chunk_store.unchunked, context.partition_key, chunker.fingerprint(prefix), prefix
    )
    return Splitting(documents, lambda ids: store.call(chunk_store.stored, ids), chunker)


class EmbeddingConfig(dg.Config):
    """What a run embeds."""

    only_failed: bool = Field(
        default=False,
        description="Only what failed before, texts that were put in quarantine included.",
    )


@dg.asset(
    deps=[chunks],
    partitions_def=partitions,
    io_manager_key="pgvector",
    retry_policy=_RETRY,
    pool=EMBEDDING_POOL,
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"ollama", "pgvector", "postgres"},
    metadata={
        "dagster/table_name": "ingestion.embeddings",
        "dagster/column_schema": tables.EMBEDDINGS,
    },
)
@reported()
def embeddings(
    context: dg.AssetExecutionContext,
    config: EmbeddingConfig,
    catalog: CatalogResource,
    store: StoreResource,
    ollama: OllamaResource,
) -> Embedding:
    """One vector per chunk, in the table of the generation: model, digest, prefixes, options.

    Only chunks without a vector of their present text are embedded; a text that was embedded
    before, anywhere in the generation, is copied inside the database.
    """
    prefix = catalog.source(context.partition_key).prefix
    model = ollama.identify()
    generation = store.call(open_generation, recipe(model))
    pages = embedding_store.pages(
        store.connect,
        generation,
        context.partition_key,
        prefix,
        only_failed=config.only_failed,
    )
    return Embedding(generation, ollama.stream(model, pages))
