"""What writing vectors costs, step by step: rows a second, and CPU of client and server per row.

python benchmarks/store.py --rows 100000 --dimensions 384 768
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from hashlib import md5
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import numpy as np
import psycopg
from psycopg import sql

from ingestion_assets.changes import Vectors
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.store import claims, embeddings, ledger
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.copy import packed
from ingestion_assets.store.generations import Generation, Recipe, open_generation
from ingestion_assets.store.schema import migrate

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_PARTITION = "bench/00"
_TICKS = os.sysconf("SC_CLK_TCK")
_DOCUMENTS = 100

Samples = dict[str, list[tuple[float, float, float]]]


def main() -> None:
    arguments = _arguments()
    with _database(arguments.url) as url, connect(url) as connection:
        ids = _load_chunks(connection, arguments.rows)
        for dimensions in arguments.dimensions:
            samples: Samples = {}
            batches = list(_vectors(ids, dimensions, arguments.batch))
            for _ in range(arguments.rounds):
                _round(connection, dimensions, batches, samples)
            _show(dimensions, arguments.rows, samples)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[384, 768])
    parser.add_argument("--batch", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3, help="the medians are shown")
    parser.add_argument("--url", help="a local server; without one, an embedded one is started")
    return parser.parse_args()


def _round(
    connection: Connection, dimensions: int, batches: Sequence[Vectors], samples: Samples
) -> None:
    """Every step once, on a fresh generation and on fresh plain tables."""
    recipe = Recipe("bench", uuid4().hex, dimensions, "", "", {})
    generation = open_generation(connection, recipe)
    half = generation.storage == "halfvec"
    ready = [packed(batch, half=half) for batch in batches]
    connection.execute("DELETE FROM ingestion.ledger")  # of the chunks that were there before it

    def measure(name: str, work: Callable[[], object]) -> None:
        samples.setdefault(name, []).append(_measured(connection, work))

    for name, ddl in _PLAIN_TABLES.items():
        connection.execute(_plain_table(generation, ddl))
        measure(f"packed COPY, {name}", lambda: _copy(connection, "plain", ready))
    measure("packed COPY, the table", lambda: _copy(connection, generation.name, ready))
    connection.execute(sql.SQL("TRUNCATE {}").format(generation.table))
    measure("embeddings.write", lambda: _write(connection, generation, batches))
    measure("embeddings.write, replacing", lambda: _write(connection, generation, batches))
    measure("coverage", lambda: embeddings.coverage(connection, generation, _PARTITION))
    measure("claimed, of none", lambda: _claim(connection, generation))
    connection.execute(sql.SQL("TRUNCATE {}").format(generation.table))
    measure("enqueued for a new generation", lambda: _enqueue(connection, generation))
    measure("claimed by a run, in pages", lambda: _claim(connection, generation))
    measure("given back", lambda: claims.release(connection, claims.run_owner(_PARTITION)))
    measure("embeddings.write, settling", lambda: _write(connection, generation, batches))
    connection.execute(sql.SQL("TRUNCATE {}").format(generation.table))
    _enqueue(connection, generation)
    measure("a worker's claims and writes", lambda: _work(connection, generation, batches))
    connection.execute("DROP TABLE ingestion.plain")
    connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(generation.table))
    connection.execute("DELETE FROM ingestion.generations")


_PLAIN_TABLES = {
    "no index": "",
    "+ primary key": "ALTER TABLE ingestion.plain ADD PRIMARY KEY (chunk_id);",
    "+ content_hash index": "ALTER TABLE ingestion.plain ADD PRIMARY KEY (chunk_id);"
    "CREATE INDEX ON ingestion.plain (content_hash);",
}


def _plain_table(generation: Generation, ddl: str) -> sql.Composed:
    return sql.SQL(
        "DROP TABLE IF EXISTS ingestion.plain;"
        "CREATE TABLE ingestion.plain (LIKE {} INCLUDING DEFAULTS INCLUDING STORAGE);" + ddl
    ).format(generation.table)


def _copy(connection: Connection, table: str, batches: Sequence[bytes]) -> None:
    statement = sql.SQL(
        "COPY {} (chunk_id, content_hash, embedding) FROM STDIN (FORMAT BINARY)"
    ).format(sql.Identifier("ingestion", table))
    for batch in batches:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")
            with cursor.copy(statement) as copy:
                copy.write(_HEADER)
                copy.write(batch)
                copy.write(b"\xff\xff")


def _write(connection: Connection, generation: Generation, batches: Sequence[Vectors]) -> None:
    for batch in batches:
        embeddings.write(connection, generation, batch)


def _enqueue(connection: Connection, generation: Generation) -> None:
    ledger.enqueue_missing(connection, generation, _PARTITION)


def _claim(connection: Connection, generation: Generation) -> None:
    for _ in claims.pages(lambda: nullcontext(connection), generation, _PARTITION):
        pass


def _work(connection: Connection, generation: Generation, batches: Sequence[Vectors]) -> None:
    """Fifty texts at a time, as a worker with a backlog takes them."""
    rows = {
        chunk: row for batch in batches for chunk, row in zip(batch.ids, batch.matrix, strict=True)
    }
    while texts := claims.claim(connection, generation, "worker", limit=50):
        ids = [text.chunk_id for text in texts]
        hashes = [text.content_hash for text in texts]
        claims.complete(
            connection, generation, Vectors(ids, hashes, np.array([rows[i] for i in ids]))
        )


def _measured(connection: Connection, work: Callable[[], object]) -> tuple[float, float, float]:
    """Seconds of wall clock, of client CPU and of server CPU."""
    server, client, wall = _server_cpu(connection), time.process_time(), time.perf_counter()
    work()
    return (
        time.perf_counter() - wall,
        time.process_time() - client,
        _server_cpu(connection) - server,
    )


def _server_cpu(connection: Connection) -> float:
    """CPU seconds of the server's present processes, all of its helpers included."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    stats = [_stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()]
    parents = {pid: parent for pid, parent, _ in stats}
    postmaster = parents.get(row[0] if row else 0)
    return sum(seconds for _, parent, seconds in stats if parent == postmaster)


def _stat(pid: int) -> tuple[int, int, float]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended meanwhile
        return pid, 0, 0.0
    return pid, int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS


def _load_chunks(connection: Connection, rows: int) -> list[UUID]:
    """Chunks of 800 characters in one partition; their ids, ordered as the stream reads them."""
    connection.execute("INSERT INTO ingestion.sources VALUES ('bench', 'files', '{}', 1)")
    connection.execute(
        "INSERT INTO ingestion.documents SELECT d::text::uuid, 'bench', %(key)s, d::text,"
        " 'text/plain', '', '', '', '{}', NULL, NULL, 0, now(), now()"
        " FROM (SELECT md5(i::text) AS d FROM generate_series(1, %(documents)s) i)",
        {"key": _PARTITION, "documents": _DOCUMENTS},
    )
    connection.execute(
        "INSERT INTO ingestion.chunks SELECT (left(d, 16) || left(md5(i::text), 16))::uuid,"
        " d::uuid, %(key)s, i, '', repeat(md5(i::text), 25),"
        " decode(md5((left(d, 16) || left(md5(i::text), 16))::uuid::text), 'hex'),"
        " 200, 0, 800, 'bench'"
        " FROM (SELECT i, md5((i %% %(documents)s + 1)::text) AS d"
        "       FROM generate_series(1, %(rows)s) i)",
        {"key": _PARTITION, "documents": _DOCUMENTS, "rows": rows},
    )
    connection.execute("CHECKPOINT")
    found = connection.execute("SELECT chunk_id FROM ingestion.chunks ORDER BY chunk_id")
    return [chunk_id for (chunk_id,) in found]


def _vectors(ids: Sequence[UUID], dimensions: int, size: int) -> Iterator[Vectors]:
    rng = np.random.default_rng(0)
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        matrix = rng.standard_normal((len(batch), dimensions), dtype=np.float32)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        yield Vectors(batch, [_hash(chunk_id) for chunk_id in batch], matrix)


def _hash(chunk_id: UUID) -> bytes:
    return md5(str(chunk_id).encode()).digest()


@contextmanager
def _database(server: str | None) -> Iterator[str]:
    """A migrated database of our own, dropped at the end."""
    if server is None:
        with (
            tempfile.TemporaryDirectory() as state,
            embedded_postgres(Path(state)) as embedded,
            _database(embedded.address) as url,
        ):
            yield url
        return
    name = f"bench_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            url = urlsplit(server)._replace(path=f"/{name}").geturl()
            migrate(url)
            yield url
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def _show(dimensions: int, rows: int, samples: Samples) -> None:
    print(f"\n{rows:,} x {dimensions}, load {os.getloadavg()[0]:.1f}")
    print(f"{'':32}{'rows/s':>10}{'client us':>12}{'server us':>12}")
    for name, figures in samples.items():
        wall, client, server = (median(column) for column in zip(*figures, strict=True))
        each = f"{1e6 * client / rows:12.2f}{1e6 * server / rows:12.2f}"
        print(f"{name:32}{rows / wall:10,.0f}{each}")


if __name__ == "__main__":
    main()
