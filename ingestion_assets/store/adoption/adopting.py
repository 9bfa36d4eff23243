"""Rows of somebody else's table in, stored documents, chunks and vectors out; resumable."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import sql

from ingestion_assets.changes import Changes, Vectors
from ingestion_assets.chunks.reconcile import Chunked, as_stored, chunked_as
from ingestion_assets.chunks.tokens import counter_for
from ingestion_assets.store import chunks, documents, embeddings, looks, sources
from ingestion_assets.store.adoption.making import Made, Maker
from ingestion_assets.store.adoption.reading import Row
from ingestion_assets.store.adoption.soundness import sound
from ingestion_assets.store.connection import Connection, partition_lock
from ingestion_assets.store.generations import Generation

KIND = "adopted"
_CHUNKER = "adopted"
_ROWS_AT_ONCE = 2_000  # in one transaction, and a document more
_CHARACTERS_AT_ONCE = 4_000_000
_NAMED = 20  # ids in a summary

_HASHES = """
SELECT document_id, content_hash FROM ingestion.documents WHERE document_id = ANY(%s)
"""
_EMBEDDED = """
SELECT c.chunk_id FROM ingestion.chunks c JOIN {table} e USING (chunk_id, content_hash)
WHERE c.document_id = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows go.

    Attributes:
        source: name of the source they make up.
        prefix: what stood before every text when it was embedded, if it is not the model's own.
        kind: the package that made the table.
        table: database, schema, table and collection, for people.
    """

    source: str
    prefix: str | None
    kind: str
    table: str

    @property
    def config(self) -> dict[str, str | None]:
        """What is stored of the source; workers take the prefix from it."""
        return {"table": self.table, "kind": self.kind, "prefix": self.prefix}

    @property
    def partition_key(self) -> str:
        """The source's only partition."""
        return f"{self.source}/00"


@dataclass(slots=True)
class Adopted:
    """What became of the rows.

    Attributes:
        copied: vectors that are stored now and were not before.
        present: chunks whose vector was there.
        normalised: of those copied, scaled to unit length.
        refused: rows whose vector is none: of another length, zero, or not finite.
        empty: rows without text, left out.
        left: chunks without a vector, which workers will embed.
        vanished: documents adopted earlier whose rows are gone; they are kept.
        refused_ids: the first of them.
        empty_ids: the first of them.
    """

    rows: int = 0
    documents: int = 0
    changed: int = 0
    chunks: int = 0
    copied: int = 0
    present: int = 0
    normalised: int = 0
    refused: int = 0
    empty: int = 0
    left: int = 0
    vanished: int = 0
    refused_ids: list[str] = field(default_factory=list)
    empty_ids: list[str] = field(default_factory=list)


def adopt(
    connection: Connection, generation: Generation, target: Target, rows: Iterable[Row]
) -> Adopted:
    """Store rows with their vectors, a transaction for each batch.

    What is stored already is not written again: after an interruption, call it again. Rows without
    a usable vector are stored too, and wait in the ledger.

    Args:
        rows: those of a document following each other; their table is not written to.

    Raises:
        ConfigError: the source's name is taken.
        StoreUnavailableError: the same source is being adopted elsewhere; retryable.
    """
    done = Adopted()
    sources.register(connection, target.source, KIND, 1, target.config)
    maker = Maker(target.source, target.prefix, target.table, counter_for(generation.model))
    with partition_lock(connection, target.partition_key):
        for batch in _batches(maker.documents(_with_text(rows, done))):
            _write(connection, generation, target, batch, done)
        embeddings.reuse(connection, generation, target.partition_key)
        coverage = embeddings.finish(connection, generation, target.partition_key)
        looks.record(connection, target.partition_key, [])
        done.left = coverage.chunks - coverage.embedded
        done.vanished = documents.finish(connection, target.partition_key) - done.documents
    return done


def _with_text(rows: Iterable[Row], done: Adopted) -> Iterator[Row]:
    for row in rows:
        done.rows += 1
        if row.text:
            yield row
        else:
            done.empty += 1
            _name(done.empty_ids, [row.id])


def _batches(made: Iterable[Made]) -> Iterator[list[Made]]:
    batch: list[Made] = []
    load = 0.0
    for one in made:
        batch.append(one)
        load += len(one.chunks) / _ROWS_AT_ONCE + len(one.document.text) / _CHARACTERS_AT_ONCE
        if load >= 1:
            yield batch
            batch, load = [], 0.0
    if batch:
        yield batch


def _write(
    connection: Connection,
    generation: Generation,
    target: Target,
    batch: Sequence[Made],
    done: Adopted,
) -> None:
    ids = [made.document.document_id for made in batch]
    hashes: dict[UUID, bytes] = dict(connection.execute(_HASHES, (ids,), binary=True).fetchall())
    changed = [m for m in batch if hashes.get(m.document.document_id) != m.document.content_hash]
    with connection.transaction():
        documents.write(connection, Changes([made.document for made in changed]))
        chunks.write(connection, _difference(connection, target, changed))
        vectors = _missing(connection, generation, batch, done)
        if len(vectors.ids):
            done.copied += embeddings.write(connection, generation, vectors)
    done.documents += len(batch)
    done.changed += len(changed)
    done.chunks += sum(len(made.chunks) for made in batch)


def _difference(connection: Connection, target: Target, changed: Sequence[Made]) -> Chunked:
    stored = chunks.stored(connection, [made.document.document_id for made in changed])
    batch = Chunked(target.partition_key, _CHUNKER)
    for made in changed:
        document = made.document
        old = {chunk.chunk_id: chunk for chunk in stored.get(document.document_id, ())}
        for chunk in made.chunks:
            known = old.pop(chunk.chunk_id, None)
            if known is None:
                batch.new.append(chunk)
            elif known != as_stored(chunk):
                batch.moved.append(chunk)
        batch.gone.extend(old)
        batch.documents.append((document.document_id, chunked_as(document.content_hash, _CHUNKER)))
    return batch


def _missing(
    connection: Connection, generation: Generation, batch: Sequence[Made], done: Adopted
) -> Vectors:
    """The usable vectors of those chunks of a batch that have none stored."""
    query = sql.SQL(_EMBEDDED).format(table=generation.table)
    ids = ([made.document.document_id for made in batch],)
    present = {chunk_id for (chunk_id,) in connection.execute(query, ids, binary=True)}
    wanting = [
        (chunk, vector, row_id)
        for made in batch
        for chunk, vector, row_id in zip(made.chunks, made.vectors, made.row_ids, strict=True)
        if vector is not None and chunk.chunk_id not in present
    ]
    checked = sound([vector for _, vector, _ in wanting], generation.dimensions)
    kept = [wanting[i][0] for i in checked.positions]
    done.present += len(present)
    done.normalised += checked.normalised
    done.refused += len(wanting) - len(kept)
    usable = set(checked.positions)
    _name(done.refused_ids, [w[2] for i, w in enumerate(wanting) if i not in usable])
    return Vectors([c.chunk_id for c in kept], [c.content_hash for c in kept], checked.matrix)


def _name(named: list[str], ids: Sequence[str]) -> None:
    named.extend(ids[: _NAMED - len(named)])
