"""A change of the model under questions and a writer: what answers lack, and how long it takes.

python benchmarks/generations.py --texts 20000 --rate 20

An embedded Postgres, a double of Ollama with two models (384 and 768 dimensions; each text takes it
half a millisecond, a request four), the real `ingest worker` and `ingest reembed`. The worker is
killed with -9 while it fills the new generation, and while it builds its index. Ends with 1 if any
answer failed, was short, was of two generations, or did not have the text that was asked for first.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
from psycopg import sql

from ingestion_assets.embedding import Ollama
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.request import Search
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.retrieval.servers import Servers
from ingestion_assets.store import index
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import active, find
from ingestion_assets.store.generations.activation import activate, rollback
from ingestion_assets.store.index import index_state
from ingestion_assets.store.pool import open_pool
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.services.faulty_ollama import running
from ingestion_assets_tests.store import rows

K = 10


@dataclass
class Traffic:
    """Questions at a steady rate and a document every second; what became of every answer."""

    database: str
    ollama: str
    texts: int
    rate: float
    phase: str = "before"
    answers: list[tuple[str, int | None, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=lambda: asyncio.run(self._ask_all())),
            threading.Thread(target=self._write),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    async def _ask_all(self) -> None:
        async with (
            open_pool(self.database, largest=10) as pool,
            Servers([Ollama(self.ollama)]) as servers,
            asyncio.TaskGroup() as group,
        ):
            searcher = Searcher(pool, QueryEmbedder(servers))
            begun = time.perf_counter()
            for number in count():
                await asyncio.sleep(max(0.0, begun + number / self.rate - time.perf_counter()))
                if self.stop.is_set():
                    return
                group.create_task(self._ask(searcher, f"text {number * 7919 % self.texts}"))

    async def _ask(self, searcher: Searcher, text: str) -> None:
        phase, begun = self.phase, time.perf_counter()
        try:
            found = await searcher.search(Search(text, K, "vector"))
        except Exception as error:  # whatever it is, it is what is counted
            self.wrong.append(f"{phase}: {text}: {error!r}")
            return
        self.answers.append((phase, found.generation_id, time.perf_counter() - begun))
        made = {hit.generation for hit in found.hits}
        is_whole = len(found.hits) == K and made == {found.generation_id}
        if not is_whole or found.degraded or found.hits[0].text != text:
            self.wrong.append(f"{phase}: {text}: {len(found.hits)} hits of {made} {found.degraded}")

    def _write(self) -> None:
        with connect(self.database) as connection:
            for number in count():
                if self.stop.wait(1.0):
                    return
                rows.store(connection, f"new{number}.md", [f"written meanwhile {number}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=20.0, help="Questions a second.")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_postgres(Path(folder)) as server,
        running(models={"other": 768}, request_ms=4, text_ms=0.5) as double,
        connect(server.address) as connection,
    ):
        migrate(server.address)
        os.environ |= {
            "INGESTION_DATABASE_URL": server.address,
            "INGESTION_STATE": folder,
            "OLLAMA_HOST": double.url,
            "INGEST_WORKER_PORT": "0",
            "INGEST_WORKER_SWEEP": "1",
        }
        _fill(connection, given.texts)
        traffic = Traffic(server.address, double.url, given.texts, given.rate)
        with traffic.going_on():
            time.sleep(5)
            _change(connection, traffic, given.texts)
    _report(traffic)
    sys.exit(bool(traffic.wrong))


def _fill(connection: Connection, texts: int) -> None:
    rows.store(connection, "a.md", [f"text {n}" for n in range(texts)])
    _ingest("worker", "--backfill")
    first = active(connection)
    if first is None:
        raise SystemExit("nothing was embedded")
    index.build_vector_index(connection, first)
    connection.execute("ANALYZE")


def _change(connection: Connection, traffic: Traffic, texts: int) -> None:
    traffic.phase, begun = "filling", time.perf_counter()
    _ingest("reembed", "--model", "other", "--no-activate")
    with _worker() as filling:
        _until(lambda: _embedded(connection) > texts // 2)
        os.kill(filling, signal.SIGKILL)
    _end_leases(connection)
    second = find(connection, 2)
    if second is None:
        raise SystemExit("no generation was opened")
    with _worker() as building:
        _until(lambda: index_state(connection, second).state == "building")
        traffic.phase = "building"
        os.kill(building, signal.SIGKILL)
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index")
        _until(lambda: index_state(connection, second).state != "building")
        print(f"killed while building: its index is {index_state(connection, second).state}")
    _end_leases(connection)
    with _worker():
        _until(lambda: index_state(connection, second).state == "valid")
        print(f"filled and indexed after {time.perf_counter() - begun:.1f} s, killed twice")
        for phase, number in (("activated", 2), ("rolled back", 1)):
            traffic.phase, begun = phase, time.perf_counter()
            chosen = find(connection, 2) if number == 2 else rollback(connection)
            if chosen is not None:
                activate(connection, chosen)
            print(f"{phase} in {time.perf_counter() - begun:.3f} s")
            _until(lambda number=number: traffic.answers[-1][1] == number)  # type: ignore[misc]
            print(f"  answered by it after {time.perf_counter() - begun:.3f} s")
            time.sleep(5)


def _report(traffic: Traffic) -> None:
    print(f"\n{'phase':<12}{'answers':>8}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}  generations")
    for phase in dict.fromkeys(phase for phase, _, _ in traffic.answers):
        of_it = [(made, 1e3 * s) for p, made, s in traffic.answers if p == phase]
        taken = np.array([ms for _, ms in of_it])
        p50, p99 = np.percentile(taken, [50, 99])
        made = ", ".join(str(each) for each in sorted({str(m) for m, _ in of_it}))
        print(f"{phase:<12}{len(of_it):>8}{p50:>8.1f}{p99:>8.1f}{taken.max():>8.1f}  {made}")
    print(f"failed, short or mixed answers: {len(traffic.wrong)}")
    for line in traffic.wrong[:5]:
        print(f"  {line}")


@contextmanager
def _worker() -> Iterator[int]:
    command = [sys.executable, "-m", "ingestion_assets", "worker"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def _ingest(*arguments: str) -> None:
    command = [sys.executable, "-m", "ingestion_assets", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _embedded(connection: Connection) -> int:
    found = find(connection, 2)
    if found is None:
        return 0
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(found.table)).fetchone()
    return int(row[0]) if row else 0


def _end_leases(connection: Connection) -> None:
    """What a minute would do."""
    connection.execute("DELETE FROM ingestion.owners")
    connection.execute("UPDATE ingestion.ledger SET lease_until = now() WHERE owner IS NOT NULL")


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


if __name__ == "__main__":
    main()
