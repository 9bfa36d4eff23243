"""What `ingest doctor` takes to read a healthy store, and one in which everything is broken.

python benchmarks/doctor.py --chunks 100000 --dimensions 384

Documents of twenty chunks each, vectors of random direction, some texts waiting in the ledger. No
file is read, and no text is embedded: those take what `ingest run` takes on unchanged files.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg import sql

from ingestion_assets.doctor import examination
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.store import audit
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.damage.finding import Scope
from ingestion_assets.store.generations import Generation, Recipe, open_generation
from ingestion_assets.store.schema import migrate
from ingestion_assets.store.sources import register

_OF_A_DOCUMENT = 20  # chunks
_DOCUMENTS = """
INSERT INTO ingestion.documents (document_id, source, partition_key, uri, media_type, title, text,
    content_hash, metadata, bytes, modified_at, ingested_at)
SELECT md5(n::text)::uuid, 'bench', 'bench/00', n || '.md', 'text/markdown', '',
       repeat('text ', 2000), decode(md5(n::text), 'hex'), '{}', 0, now(), now()
FROM generate_series(1, %s) n
"""
_CHUNKS = """
INSERT INTO ingestion.chunks
SELECT (left(document_id::text, 18) || right(md5(uri || n)::uuid::text, 18))::uuid, document_id,
       partition_key, n, '', repeat('text ', 200), decode(md5(uri || n), 'hex'), 200, 0, 0, 'bench'
FROM ingestion.documents, generate_series(0, %s - 1) n
"""
# A few directions are enough: what is looked at is the length.
_VECTORS = """
INSERT INTO {table} (chunk_id, content_hash, embedding)
SELECT chunk_id, content_hash, directions.v[1 + get_byte(content_hash, 0) %% 16]
FROM ingestion.chunks, (
    SELECT array_agg(l2_normalize(v)) AS v FROM (
        SELECT (SELECT array_agg(random() - 0.5) FROM generate_series(1, %s + 0 * k))::vector AS v
        FROM generate_series(1, 16) k) each) directions
WHERE get_byte(content_hash, 1) > 0 OR get_byte(content_hash, 2) > 64
"""
_BREAK = (
    "DELETE FROM {table} WHERE get_byte(content_hash, 3) < 26",
    "UPDATE {table} SET embedding = embedding + embedding"
    " WHERE get_byte(content_hash, 3) BETWEEN 26 AND 52",
    "DELETE FROM ingestion.chunks WHERE get_byte(content_hash, 3) BETWEEN 53 AND 78",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=384)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as state, embedded_postgres(Path(state)) as server:
        migrate(server.address)
        with connect(server.address) as connection:
            with _timed("filled"):
                generation = _fill(connection, given.chunks, given.dimensions)
            _measure(connection, generation, "healthy")
            _break(connection, generation)
            _measure(connection, generation, "broken, 30 %")
            with _timed("mended"):
                examination.mend(connection, Scope())
            _measure(connection, generation, "mended")


def _fill(connection: Connection, chunks: int, dimensions: int) -> Generation:
    register(connection, "bench", "files", 1, {})
    generation = open_generation(connection, Recipe("bench", "", dimensions, "", "", {}))
    connection.execute("SET session_replication_role = replica")  # no triggers, no references
    connection.execute(_DOCUMENTS, (chunks // _OF_A_DOCUMENT,))
    connection.execute(_CHUNKS, (_OF_A_DOCUMENT,))
    connection.execute(sql.SQL(_VECTORS).format(table=generation.table), (dimensions,))
    connection.execute("RESET session_replication_role")
    connection.execute("SELECT ingestion.enqueue_missing(%s, NULL)", (generation.generation_id,))
    connection.execute("VACUUM ANALYZE")
    return generation


def _break(connection: Connection, generation: Generation) -> None:
    connection.execute("SET session_replication_role = replica")
    for statement in _BREAK:
        connection.execute(sql.SQL(statement).format(table=generation.table))
    connection.execute("RESET session_replication_role")


def _measure(connection: Connection, generation: Generation, state: str) -> None:
    """Once over everything; what was found, and the largest memory of this process."""
    with _timed(f"examined, {state}"), audit.snapshot(connection):
        totals = audit.totals(connection, generation)
        found = examination.examine(connection, Scope())
    rows = f"{totals.chunks:,} chunks, {totals.vectors:,} vectors, {totals.ledger:,} waiting"
    kinds = ", ".join(f"{f.kind.name} {f.count:,}" for f in found) or "nothing found"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"    {rows}; {kinds}; {peak:.0f} MB")


@contextmanager
def _timed(name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"{name}: {time.perf_counter() - started:.2f} s", flush=True)


if __name__ == "__main__":
    main()
