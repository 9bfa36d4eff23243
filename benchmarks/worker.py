"""What a worker takes from INSERT to vector, for 5,000 blocks, and of memory.

python benchmarks/worker.py --inserts 100 --blocks 5000

Notes and blocks in plain tables, an embedded Postgres, the built-in model in its own process, and
the real command `ingest worker` in another one.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg

from ingestion_assets.local.services import local_services
from ingestion_assets.settings import Settings
from ingestion_assets.store.schema import migrate

_TABLES = """
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
CREATE TABLE blocks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL,
                     content jsonb NOT NULL);
"""
_BLOCKS = """
INSERT INTO blocks (kind, content)
SELECT (ARRAY['paragraph', 'list', 'heading', 'code', 'table'])[1 + mod(n, 5)],
       CASE mod(n, 5)
       WHEN 0 THEN jsonb_build_object('text', 'Paragraph ' || n || ' of the handbook.')
       WHEN 1 THEN jsonb_build_object('items', jsonb_build_array('first ' || n, 'second ' || n))
       WHEN 2 THEN jsonb_build_object('text', 'Heading ' || n, 'level', 2)
       WHEN 3 THEN jsonb_build_object('code', 'x = ' || n, 'language', 'python')
       ELSE jsonb_build_object('header', jsonb_build_array('name', 'n'),
                               'rows', jsonb_build_array(jsonb_build_array('row', n::text))) END
FROM generate_series(1, %s) n
"""
_NOTES = "SELECT count(*) FROM notes WHERE embedding IS NULL"
_STATES = "SELECT embedding_status, count(*), count(embedding) FROM blocks GROUP BY 1 ORDER BY 1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inserts", type=int, default=100)
    parser.add_argument("--blocks", type=int, default=5_000)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        local_services(Settings(state=Path(folder))) as running,
        psycopg.connect(running.database_url, autocommit=True) as connection,
    ):
        migrate(running.database_url)
        connection.execute(_TABLES)
        os.environ |= {
            "INGESTION_DATABASE_URL": running.database_url,
            "OLLAMA_HOST": running.ollama_host,
            "INGEST_WORKER_PORT": "0",
        }
        _ingest("attach", "notes", "--text-column", "body")
        with _worker() as pid:
            _measure_inserts(connection, given.inserts, pid)
        connection.execute(_BLOCKS, (given.blocks,))
        _ingest("attach", "blocks", "--type-column", "kind", "--content-column", "content")
        started = time.perf_counter()
        _ingest("worker", "--backfill")
        print(f"backfill of {given.blocks:,} blocks: {time.perf_counter() - started:.0f} s")
        for state, rows, vectors in connection.execute(_STATES):
            print(f"  {state}: {rows:,} rows, {vectors:,} vectors")


def _measure_inserts(connection: psycopg.Connection, inserts: int, pid: int) -> None:
    _wait(connection, warm_up=True)
    print(f"idle: {_memory(pid, 'VmRSS'):.0f} MiB")
    seconds = [_wait(connection) for _ in range(inserts)]
    print(
        f"{inserts} inserts: vector after {median(seconds):.3f} s at the median,"
        f" {max(seconds):.3f} s at most"
    )
    print(f"after work: {_memory(pid, 'VmRSS'):.0f} MiB, peak {_memory(pid, 'VmHWM'):.0f} MiB")


def _wait(connection: psycopg.Connection, *, warm_up: bool = False) -> float:
    """Insert a note; the seconds until it has its vector."""
    connection.execute("INSERT INTO notes (body) VALUES (md5(random()::text) || ' is a word')")
    started = time.perf_counter()
    while connection.execute(_NOTES).fetchone() != (0,):
        time.sleep(0.005)
    seconds = time.perf_counter() - started
    time.sleep(2.0 if warm_up else 0.1)
    return seconds


@contextmanager
def _worker() -> Iterator[int]:
    command = [sys.executable, "-m", "ingestion_assets", "worker"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            print(f"SIGTERM: exit code {process.wait(10)}")


def _ingest(*arguments: str) -> None:
    command = [sys.executable, "-m", "ingestion_assets", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _memory(pid: int, figure: str) -> float:
    """VmRSS or VmHWM in MiB, as the kernel counts it."""
    found = re.search(rf"^{figure}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
