"""What the assets need, configured by the environment: catalog, store, chunker, Ollama."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from ingestion_assets.changes import Text
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.tokens import counter_for
from ingestion_assets.defs.event_loop import run_on
from ingestion_assets.embedding.host import parse_host
from ingestion_assets.embedding.models import model_facts
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.stream import EmbeddingStream
from ingestion_assets.errors import ConfigError
from ingestion_assets.sources.config import Source, load
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Recipe
from ingestion_assets.store.schema import migrate

P = ParamSpec("P")
T = TypeVar("T")


class CatalogResource(dg.ConfigurableResource[Any]):
    """The sources that sources.yaml lists."""

    path: str = Field(default="sources.yaml", description="The file that lists the sources.")

    def sources(self) -> list[Source]:
        """All sources, validated."""
        return load(Path(self.path))

    def source(self, partition_key: str) -> Source:
        """The source of a partition.

        Raises:
            ConfigError: sources.yaml has no such source, or not so many buckets.
        """
        for source in self.sources():
            if partition_key in source.partition_keys():
                return source
        raise ConfigError(
            f"partition {partition_key!r} is of no source in {self.path}; add the source, or"
            " delete the partition"
        )


class StoreResource(dg.ConfigurableResource[Any]):
    """Postgres with pgvector; migrated when a run begins."""

    database_url: str = Field(description="postgresql://…, the database of the schema `ingestion`.")

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        migrate(self.database_url)

    def connect(self) -> AbstractContextManager[Connection]:
        """Open a connection; psycopg's errors leave it as ours."""
        return connect(self.database_url)

    def call(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a function of the store with a connection of its own."""
        with self.connect() as connection:
            return function(connection, *args, **kwargs)

    def stream(
        self,
        function: Callable[Concatenate[Connection, P], Iterator[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Iterator[T]:
        """Iterate over what a function of the store yields, on a connection of its own."""
        with self.connect() as connection:
            yield from function(connection, *args, **kwargs)


class ChunkerResource(dg.ConfigurableResource[Any]):
    """How documents are split."""

    model: str = Field(description="The embedding model whose tokens are counted.")
    max_tokens: int = Field(description="Tokens per chunk at most, heading path included.")
    overlap: int = Field(description="Tokens that the pieces of one long block share.")

    def chunker(self) -> Chunker:
        """The chunker; never above what the model reads at once."""
        return Chunker(
            max_tokens=min(self.max_tokens, model_facts(self.model).max_text_tokens),
            overlap=self.overlap,
            counter=counter_for(self.model),
        )
