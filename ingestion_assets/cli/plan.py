"""`ingest run --plan`: what a run would read, split, embed and delete; nothing is written."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import click
from rich.console import Console
from rich.table import Table

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.reconcile import Splitting, StoredChunk, StoredDocument, to_split
from ingestion_assets.cli.services import export
from ingestion_assets.cli.summary import wrapped
from ingestion_assets.documents.processes import Limits
from ingestion_assets.errors import SourceError
from ingestion_assets.local.services import Services
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Reconciliation, Source
from ingestion_assets.store import chunks, documents, forecast
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, active
from ingestion_assets.store.generations.opening import heeds

_COLUMNS = ("new", "changed", "gone", "unread", "chunks", "texts", "tokens", "time")


@dataclass(slots=True)
class Plan:
    """What a run would do with one source.

    Attributes:
        failed: documents that cannot be read.
        chunks: new, or with another text to embed than before.
        texts: to be embedded: different ones that have no vector yet, waiting ones included.
        tokens: of these texts.
        seconds: to embed them, at the rate of the latest runs; none before the first one.
        refused: why the run would delete nothing and fail.
    """

    source: str
    new: int = 0
    changed: int = 0
    deleted: int = 0
    failed: int = 0
    chunks: int = 0
    texts: int = 0
    tokens: int = 0
    seconds: float | None = None
    refused: list[str] = field(default_factory=list)


def plan(running: Services, settings: Settings, sources: Sequence[Source]) -> list[Plan]:
    """Work out each source's plan: changed documents are read and split, in memory."""
    export(running)
    # Dagster takes over a second to import.
    from ingestion_assets.defs import launch  # noqa: PLC0415
    from ingestion_assets.defs.resources import ChunkerResource  # noqa: PLC0415

    os.environ.setdefault("DAGSTER_HOME", str(launch.prepare_home(Path.cwd())))
    rate = launch.observed_rate()
    chunking = ChunkerResource(
        model=settings.model, max_tokens=settings.chunk_tokens, overlap=settings.chunk_overlap
    )
    with connect(running.database_url) as connection:
        generation = active(connection)
        is_new = generation is not None and generation.model != settings.model
        if is_new and heeds(connection, settings.model):
            generation = None
        limits = Limits.of(settings)
        plans = [
            _of_source(connection, generation, chunking.chunker(s.chunker), s, limits)
            for s in sources
        ]
    for made in plans:
        made.seconds = made.texts / rate if rate else None
    return plans


def show_plan(plans: Sequence[Plan], *, as_json: bool) -> None:
    """Print the plans: a table, then what would be refused; or JSON."""
    if as_json:
        click.echo(json.dumps([asdict(made) for made in plans], indent=2))
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("source", overflow="fold")
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for p in plans:
        counts = (p.new, p.changed, p.deleted, p.failed, p.chunks, p.texts, p.tokens)
        table.add_row(p.source, *(f"{count:,}" for count in counts), _duration(p.seconds))
    Console().print(table)
    for refusal in (refusal for p in plans for refusal in p.refused):
        click.secho(wrapped("refused  ", refusal), fg="red", err=True)
    click.echo("Nothing was done: this is a plan.", err=True)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _of_source(
    connection: Connection,
    generation: Generation | None,
    chunker: Chunker,
    source: Source,
    limits: Limits,
) -> Plan:
    made = Plan(source.name)
    for key in source.partition_keys():
        _Partition(connection, generation, chunker, source, limits, key).add_to(made)
    return made


class _Partition:
    """One partition's share of a plan."""

    def __init__(
        self,
        connection: Connection,
        generation: Generation | None,
        chunker: Chunker,
        source: Source,
        limits: Limits,
        key: str,
    ) -> None:
        self._connection, self._generation = connection, generation
        self._chunker, self._source, self._key = chunker, source, key
        self._limits = limits
        self._split: set[UUID] = set()  # documents whose chunks are made anew

    def add_to(self, made: Plan) -> None:
        known = documents.known(self._connection, self._key)
        elsewhere = partial(documents.elsewhere, self._connection, self._source.name, self._key)
        reading = Reconciliation(self._source, self._key, known, elsewhere, limits=self._limits)
        splitting = Splitting(self._documents(reading, made), self._stored, self._chunker)
        texts: dict[bytes, int] = {}
        for batch in splitting:
            made.chunks += len(batch.new) + len(batch.moved)
            texts |= self._without_vector([*batch.new, *batch.moved])
        waiting = forecast.waiting(
            self._connection, self._generation, self._key, but=list(self._split)
        )
        made.texts += len(texts) + waiting.texts
        made.tokens += sum(texts.values()) + waiting.tokens
        made.new += reading.counts.new
        made.changed += reading.counts.changed
        made.deleted += reading.counts.gone
        made.failed += reading.counts.failed

    def _documents(self, reading: Reconciliation, made: Plan) -> Iterator[StoredDocument]:
        """Documents as they would be stored, then stored ones that another chunker split."""
        prefix = self._source.prefix
        try:
            for change in reading:
                for d in change.rows:
                    self._split.add(d.document_id)
                    yield to_split(d, prefix)
                self._split.update(change.gone)
        except SourceError as exc:
            if str(exc) not in made.refused:  # most are of the whole source
                made.refused.append(str(exc))
        fingerprint = self._chunker.fingerprint(prefix)
        for document in chunks.unchunked(self._connection, self._key, fingerprint, prefix):
            if document.document_id not in self._split:
                self._split.add(document.document_id)
                yield document

    def _stored(self, ids: Sequence[UUID]) -> dict[UUID, list[StoredChunk]]:
        return chunks.stored(self._connection, ids)

    def _without_vector(self, changed: Sequence[Chunk]) -> dict[bytes, int]:
        tokens = {chunk.content_hash: chunk.tokens for chunk in changed}
        if self._generation is None or not tokens:
            return tokens
        there = forecast.embedded(self._connection, self._generation, list(tokens))
        return {name: count for name, count in tokens.items() if name not in there}
