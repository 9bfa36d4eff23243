"""What writing chunks costs, without a generation and with one whose ledger they are enqueued in.

python benchmarks/enqueueing.py --rows 20000
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from statistics import median
from uuid import UUID

from ingestion_assets.changes import Changes
from ingestion_assets.chunks.chunk import Chunk, chunk_id, content_hash
from ingestion_assets.chunks.reconcile import Chunked
from ingestion_assets.documents.document import Document
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.store import chunks, documents, sources
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Recipe, open_generation
from ingestion_assets.store.schema import migrate

_PARTITION = "bench/00"
_OF_A_DOCUMENT = 20
_OF_A_BATCH = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5, help="the medians are shown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as state, embedded_postgres(Path(state)) as server:
        migrate(server.address)
        with connect(server.address) as connection:
            _compare(connection, arguments.rows, arguments.rounds)


def _compare(connection: Connection, rows: int, rounds: int) -> None:
    sources.register(connection, "bench", "files", 1, {})
    owners = [_document(n) for n in range(rows // _OF_A_DOCUMENT)]
    found: dict[str, list[float]] = {}
    for generations in (0, 1):
        if generations:
            open_generation(connection, Recipe("bench", "", 4, "", "", {}))
        for _ in range(rounds):
            documents.write(connection, Changes(owners))
            new = [_batch(owners[i : i + _OF_A_BATCH]) for i in range(0, len(owners), _OF_A_BATCH)]
            moved = [replace(b, new=[], moved=[_later(c) for c in b.new]) for b in new]
            for name, work in (("inserted", new), ("moved", moved)):
                seconds = _seconds(connection, work)
                found.setdefault(f"{name}, {generations} generations", []).append(seconds)
            connection.execute("DELETE FROM ingestion.documents")
    print(f"{rows:,} chunks of 800 characters, load {os.getloadavg()[0]:.1f}")
    for name, figures in found.items():
        print(f"{name:26}{1e6 * median(figures) / rows:8.1f} us a chunk")


def _seconds(connection: Connection, batches: Sequence[Chunked]) -> float:
    start = time.perf_counter()
    for batch in batches:
        chunks.write(connection, batch)
    return time.perf_counter() - start


def _later(chunk: Chunk) -> Chunk:
    return replace(chunk, ordinal=chunk.ordinal + 1)


def _batch(owners: Sequence[Document]) -> Chunked:
    pieces = [piece for owner in owners for piece in _pieces(owner)]
    return Chunked(_PARTITION, "bench", [(o.document_id, o.content_hash) for o in owners], pieces)


def _pieces(owner: Document) -> list[Chunk]:
    texts = [f"{owner.uri} {i} " + "word " * 160 for i in range(_OF_A_DOCUMENT)]
    return [
        Chunk(
            chunk_id(owner.document_id, text, 0), owner.document_id, i, "", text,
            content_hash(None, "", text), 200, 0, len(text),
        )
        for i, text in enumerate(texts)
    ]  # fmt: skip


def _document(n: int) -> Document:
    name = blake2b(b"%d" % n, digest_size=16).digest()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Document(
        document_id=UUID(bytes=name), source="bench", partition_key=_PARTITION, uri=f"{n}.txt",
        media_type="text/plain", title="", text="", content_hash=name, metadata={}, domain=None,
        category=None, bytes=0, modified_at=moment, ingested_at=moment,
    )  # fmt: skip


if __name__ == "__main__":
    main()
