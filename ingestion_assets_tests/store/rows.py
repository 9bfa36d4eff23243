"""Documents, chunks and vectors for the tests, made from a few words."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from hashlib import blake2b
from time import monotonic, sleep
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from ingestion_assets.changes import Changes, Text, Vectors
from ingestion_assets.chunks.chunk import Chunk, chunk_id, content_hash
from ingestion_assets.chunks.reconcile import Chunked, chunked_as
from ingestion_assets.documents.document import Document
from ingestion_assets.store import chunks, claims, documents, embeddings, sources
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, Recipe, open_generation

KEY = "notes/00"
CHUNKER = "test-1"


def document(uri: str, text: str = "", key: str = KEY) -> Document:
    name = blake2b(f"{key}/{uri}".encode(), digest_size=16).digest()
    return Document(
        document_id=UUID(bytes=name),
        source=key.partition("/")[0],
        partition_key=key,
        uri=uri,
        media_type="text/markdown",
        title=uri.title(),
        text=text,
        content_hash=blake2b(text.encode(), digest_size=16).digest(),
        metadata={"tags": ["a", "ü"], "depth": {"n": 1.5}},
        domain=None,
        category="notes",
        bytes=len(text),
        modified_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        ingested_at=datetime(2026, 1, 3, tzinfo=UTC),
    )


def split(owner: Document, texts: Sequence[str], heading: str = "") -> list[Chunk]:
    return [
        Chunk(
            chunk_id=chunk_id(owner.document_id, text, texts[:ordinal].count(text)),
            document_id=owner.document_id,
            ordinal=ordinal,
            heading=heading,
            text=text,
            content_hash=content_hash(None, heading, text),
            tokens=len(text.split()),
            start=10 * ordinal,
            end=10 * ordinal + len(text),
        )
        for ordinal, text in enumerate(texts)
    ]


def batch(
    *owners: Document,
    new: Sequence[Chunk] = (),
    moved: Sequence[Chunk] = (),
    gone: Sequence[Chunk] = (),
    key: str = KEY,
) -> Chunked:
    return Chunked(
        key,
        CHUNKER,
        [(d.document_id, chunked_as(d.content_hash, CHUNKER)) for d in owners],
        list(new),
        list(moved),
        [chunk.chunk_id for chunk in gone],
    )


def store(
    connection: Connection, uri: str, texts: Sequence[str], key: str = KEY
) -> tuple[Document, list[Chunk]]:
    """Store a document and its chunks."""
    sources.register(connection, key.partition("/")[0], "files", 1, {})
    owner = document(uri, "\n".join(texts), key)
    documents.write(connection, Changes([owner]))
    pieces = split(owner, texts)
    chunks.write(connection, batch(owner, new=pieces, key=key))
    return owner, pieces


def generation(connection: Connection, dimensions: int = 4, model: str = "m") -> Generation:
    return open_generation(connection, Recipe(model, "sha", dimensions, "", "", {}))


def vector(hashed: bytes, dimensions: int = 4, model: str = "m") -> NDArray[np.float32]:
    """The unit vector that a make-believe model gives the text of this hash."""
    seed = blake2b(hashed + model.encode(), digest_size=8).digest()
    numbers = np.random.default_rng(list(seed)).standard_normal(dimensions)
    return (numbers / np.linalg.norm(numbers)).astype(np.float32)


def vectors(
    rows: Sequence[Chunk] | Sequence[Text], dimensions: int = 4, model: str = "m"
) -> Vectors:
    matrix = [vector(row.content_hash, dimensions, model) for row in rows]
    return Vectors(
        [row.chunk_id for row in rows],
        [row.content_hash for row in rows],
        np.array(matrix, np.float32).reshape(-1, dimensions),
    )


def embed(connection: Connection, target: Generation, rows: Sequence[Chunk]) -> int:
    """Store the make-believe model's vectors of some chunks."""
    return embeddings.write(connection, target, vectors(rows, target.dimensions, target.model))


def missing(
    connection: Connection, target: Generation, key: str = KEY, *, only_failed: bool = False
) -> list[Text]:
    """What a partition's run would claim."""
    with connection.transaction(force_rollback=True):
        pages = claims.pages(lambda: nullcontext(connection), target, key, only_failed=only_failed)
        return [text for page in pages for text in page]


def stored_vectors(connection: Connection, target: Generation) -> dict[UUID, tuple[bytes, bytes]]:
    """Content hash and vector, as it is sent, of every row of a generation."""
    rows = connection.execute(
        sql.SQL("SELECT chunk_id, content_hash, {}(embedding) FROM {}").format(
            sql.Identifier(f"{target.storage}_send"), target.table
        ),
        binary=True,
    )
    return {chunk: (hashed, sent[4:]) for chunk, hashed, sent in rows}


def every_vector_belongs_to_its_text(connection: Connection, target: Generation) -> bool:
    number = ">f2" if target.storage == "halfvec" else ">f4"
    return all(
        sent == vector(hashed, target.dimensions, target.model).astype(number).tobytes()
        for hashed, sent in stored_vectors(connection, target).values()
    )


def wait_until_blocked(database: str) -> None:
    """Return when a connection to the database waits for another one's lock."""
    deadline = monotonic() + 30
    with connect(database) as connection:
        while monotonic() < deadline:
            waiting = connection.execute(
                "SELECT FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if waiting.fetchone() is not None:
                return
            sleep(0.02)
    raise AssertionError("nothing waits for a lock")
