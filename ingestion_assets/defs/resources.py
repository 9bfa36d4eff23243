"""What the assets need, configured by the environment: catalog, store, chunker, Ollama."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from ingestion_assets.changes import Text
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.chunking import Chunking
from ingestion_assets.chunks.tokens import counter_for
from ingestion_assets.defs.event_loop import run_on
from ingestion_assets.defs.servers import database_url, ollama_host
from ingestion_assets.doctor.fidelity import model_of
from ingestion_assets.doctor.reembedding import Sampled, Wrong, wrong
from ingestion_assets.documents.processes import Limits
from ingestion_assets.embedding import EmbeddingStream, Endpoints, Identity, Ollama, model_facts
from ingestion_assets.embedding.fidelity import Probe, Silence
from ingestion_assets.embedding.identity import SAFE_CONTEXT
from ingestion_assets.errors import ConfigError
from ingestion_assets.memory import prevent_fragmentation
from ingestion_assets.sources import Source, load
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.fleet import Fleet
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.schema import migrate

P = ParamSpec("P")
T = TypeVar("T")

_CONNECTIONS, _KEEPALIVE = 10, 5  # of the HTTP pool at least
_BATCH_BEHIND = 16  # texts; a question waits for a request of these at most
_ASIDE = 2  # connections beside the workers', for questions about the server
_SPECIAL_TOKENS = 2  # that a model puts around every text


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


class ExtractionResource(dg.ConfigurableResource[Any]):
    """What the extraction of one document may cost."""

    processes: int = Field(ge=1, description="That extract at the same time, at most.")
    seconds: int = Field(default=60, ge=1, description="Of CPU, for one document.")
    memory: int = Field(default=1_000_000_000, description="Bytes, for one document.")

    def limits(self) -> Limits:
        """The same as limits."""
        return Limits(self.processes, self.seconds, self.memory)


class StoreResource(dg.ConfigurableResource[Any]):
    """Postgres with pgvector; migrated when a run begins."""

    database_url: str | None = Field(
        default=None, description="postgresql://…; the embedded Postgres if it is not given."
    )
    grace_days: float = Field(
        default=7.0, description="That a replaced generation of embeddings is kept complete."
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        migrate(self.url())

    def connect(self) -> AbstractContextManager[Connection]:
        """Open a connection; psycopg's errors leave it as ours."""
        return connect(self.url())

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

    def url(self) -> str:
        """The database's URL; it has the password in it."""
        return self.database_url or database_url()


class ChunkerResource(dg.ConfigurableResource[Any]):
    """How documents are split."""

    model: str = Field(description="The embedding model whose tokens are counted.")
    max_tokens: int = Field(
        description="Tokens per chunk at most, heading path included; where a source has no `size`."
    )
    overlap: int = Field(
        description="Tokens that the pieces of one long block share; where it has no `overlap`."
    )

    def chunker(self, rules: Chunking) -> Chunker:
        """The chunker of a source; its chunks are never longer than what the model reads at once.

        Raises:
            ConfigError: the rules do not fit the size that is set for all sources.
        """
        counter = counter_for(self.model)
        facts = model_facts(self.model)
        room = (
            (facts.context or SAFE_CONTEXT)
            - _SPECIAL_TOKENS
            - counter.count([facts.document_prefix])[0]
        )
        size, overlap = rules.limits(self.max_tokens, self.overlap)
        return Chunker(min(size, room), overlap, counter, rules)

    def fingerprint(self, source: Source) -> str:
        """The name of a source's chunker."""
        return self.chunker(source.chunker).fingerprint(source.prefix)


class OllamaResource(dg.ConfigurableResource[Any]):
    """The Ollama servers of one model: pooled connections, an adaptive number of requests."""

    store: dg.ResourceDependency[StoreResource]
    hosts: list[str] = Field(
        default=[], description="Each as in OLLAMA_HOST; what runs on this machine if none."
    )
    api_key: str | None = Field(default=None, description="Sent as a bearer token.")
    model: str = Field(description="The embedding model's name in Ollama.")
    workers: int = Field(default=4, description="Requests in flight to a server, at first.")
    max_in_flight: int = Field(default=16, description="Requests in flight to a server at most.")
    batch_size: int = Field(default=64, description="Texts per request at most.")
    retries: int = Field(default=4, description="Further attempts for a request that failed.")
    timeout: float = Field(default=300.0, description="Seconds without a byte before giving up.")
    breaker_failures: int = Field(default=5, description="In a row, that take a server out.")
    breaker_seconds: float = Field(default=30.0, description="Until it is tried again.")
    deadline: float = Field(default=1800.0, description="Seconds without any server to wait.")
    auto_pull: bool = Field(default=False, description="Have a server pull a missing model.")
    cpu_retry: bool = Field(
        default=False, description="Load the model without a GPU for a text that it chokes on."
    )
    _pools: dict[tuple[str, bool], Endpoints] = PrivateAttr(default_factory=dict)
    _open: AsyncExitStack = PrivateAttr()
    _loop: asyncio.AbstractEventLoop = PrivateAttr()

    @asynccontextmanager
    async def yield_for_execution(  # type: ignore[override]  # Dagster's stub knows sync only
        self, context: dg.InitResourceContext
    ) -> AsyncIterator["OllamaResource"]:
        """Keep clients on the run's own event loop, where the IO manager drains the stream."""
        if context.event_loop is None:
            raise RuntimeError("Dagster gave no event loop; pass event_loop= to build_resources")
        prevent_fragmentation()
        self._loop = context.event_loop
        async with AsyncExitStack() as stack:
            self._open, self._pools = stack, {}
            yield self

    def identify(self, model: str | None = None, *, behind: bool = False) -> Identity:
        """What the servers say of a model, or of the configured one; sends them no text."""

        async def identify() -> Identity:
            return await (await self._pool(model or self.model, behind)).identify(
                model or self.model
            )

        return self.run(identify())

    def probe(self, generation: Generation) -> list[Probe | Silence]:
        """What each server gives for texts of many kinds; nothing is stored."""

        async def probe() -> list[Probe | Silence]:
            pool = await self._pool(generation.model, behind=False)
            return await pool.probe(model_of(generation), generation.document_prefix)

        return self.run(probe())

    def wrong(self, generation: Generation, sampled: Sequence[Sampled]) -> list[Wrong]:
        """Those of some vectors that are not what their texts get now."""

        async def compare() -> list[Wrong]:
            pool = await self._pool(generation.model, behind=False)
            return await wrong(pool, model_of(generation), sampled)

        return self.run(compare())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on the loop that the clients live on."""
        return run_on(self._loop, coroutine)

    def stream(
        self, model: Identity, pages: Iterator[list[Text]], *, behind: bool = False
    ) -> EmbeddingStream:
        """The vectors of all pages, in batches; nothing is sent before it is iterated over.

        Args:
            behind: a request at a time and small ones, for what is not searched yet.
        """
        return EmbeddingStream(
            self.run(self._pool(model.model, behind)),
            model,
            lambda: next(pages, []),
            batch_size=min(self.batch_size, _BATCH_BEHIND) if behind else self.batch_size,
            retries=self.retries,
        )

    def client(self) -> Ollama:
        """A client of the first server, to be closed by who asks for it."""
        return self._client(self._hosts()[0])

    async def _pool(self, model: str, behind: bool) -> Endpoints:
        """The servers as they are used for a model; what they are found to be is of it alone."""
        if (model, behind) not in self._pools:
            pool = Endpoints(
                [self._client(host) for host in self._hosts()],
                workers=1 if behind else self.workers,
                max_workers=1 if behind else self.max_in_flight,
                breaker_failures=self.breaker_failures,
                breaker_seconds=self.breaker_seconds,
                deadline=self.deadline,
                auto_pull=self.auto_pull,
            )
            await self._open.enter_async_context(pool)
            shares = pool.shares()
            fleet = Fleet(self.store.url(), shares, most=self.max_in_flight, live=False)
            await self._open.enter_async_context(fleet)
            self._pools[model, behind] = pool
        return self._pools[model, behind]

    def _hosts(self) -> list[str]:
        return self.hosts or [ollama_host()]

    def _client(self, host: str) -> Ollama:
        return Ollama(
            host,
            api_key=self.api_key,
            connections=max(_CONNECTIONS, self.max_in_flight + _ASIDE),
            keepalive=max(_KEEPALIVE, self.max_in_flight),
            timeout=self.timeout,
            cpu_retry=self.cpu_retry,
        )
