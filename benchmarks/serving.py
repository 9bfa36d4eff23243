"""What the service adds to its parts: to one search, to fifty at once, and over thousands.

python benchmarks/serving.py --rows 100000 --queries 5000

An embedded Postgres, the double of Ollama and the real command `ingest serve`, each in processes
of their own; the clients are plain sockets.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from heapq import heapreplace
from pathlib import Path
from statistics import median
from typing import Any, LiteralString, Self
from urllib.parse import urlencode, urlsplit

import click
import orjson
from pgvector import Vector
from search import DIMENSIONS, K, Meaning, fill

from ingestion_assets.embedding import Ollama
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.retrieval.recall import tune
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Recipe
from ingestion_assets.store.pool import Pool, borrowed, open_pool
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.services.faulty_ollama import Double, running

MODEL = "all-minilm"
AT_ONCE = 50
LATENCY = 0.1  # seconds that the simulated Ollama takes
CONNECTIONS = 10  # to Postgres, as many as the service opens
CORES = os.cpu_count() or 1
# How many requests it works on at once: as many as come, eight, or one as the real one does.
SLOTS = {"any number": AT_ONCE, "eight": 8, "one": 1}
BY_HAND: dict[str, LiteralString] = {
    "exact": """SELECT chunk_id FROM ingestion.embeddings_1
                ORDER BY (embedding <=> %s::vector) + 0 LIMIT 10""",
    "approx": """SELECT chunk_id FROM ingestion.embeddings_1
                 ORDER BY embedding <=> %s::vector LIMIT 10""",
}
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ingestion-assets'"


class Client:
    """One connection to a server; a request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> Self:
        where = urlsplit(url)
        return cls(*await asyncio.open_connection(where.hostname, where.port))

    async def ask(self, path: str, body: bytes = b"") -> Any:
        """What a 200 says."""
        method = "POST" if body else "GET"
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = re.search(r"content-length: (\d+)", answer)
        said = await self._reader.readexactly(int(size[1]) if size else 0)
        assert " 200 " in answer.partition("\r\n")[0], said
        return orjson.loads(said)

    async def search(self, text: str, mode: str, method: str = "vector") -> Any:
        """The service's answer."""
        query = {"q": text, "k": K, "method": method, "mode": mode}
        return await self.ask(f"/api/search?{urlencode(query)}")

    async def embed(self, text: str) -> list[float]:
        """The double's vector, straight from it."""
        said = await self.ask("/api/embed", orjson.dumps({"model": MODEL, "input": [text]}))
        vector: list[float] = said["embeddings"][0]
        return vector


@click.command()
@click.option("--rows", default=100_000, show_default=True, help="Chunks.")
@click.option("--rounds", default=5, show_default=True, help="Of fifty searches at once.")
@click.option("--queries", default=5_000, show_default=True, help="For memory.")
def main(rows: int, rounds: int, queries: int) -> None:
    """Fill a store with ROWS chunks of 384 dimensions, and serve it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_postgres(Path(folder)) as server,
        running() as double,
    ):
        url = server.address
        migrate(url)
        digest = asyncio.run(_digest(double.url))
        with connect(url) as connection:
            fill(connection, Meaning(), rows, Recipe(MODEL, digest, DIMENSIONS, "", "", {}))
        with _serving(url, double.url) as (api, pid):
            asyncio.run(_report(url, double, api, pid, rounds, queries))


async def _digest(host: str) -> str:
    async with Ollama(host) as ollama:
        return await ollama.digest(MODEL)


async def _report(url: str, double: Double, api: str, pid: int, rounds: int, queries: int) -> None:
    async with open_pool(url, smallest=CONNECTIONS, largest=CONNECTIONS) as pool:
        effort = (await tune(pool)).ef_search
        await _set(pool, "hnsw.ef_search", effort)
        await _one(pool, double, api)
        # What makes one search by hand faster makes fifty at once slower.
        await _set(pool, "max_parallel_workers_per_gather", 0)
        await _fifty(pool, double, api, rounds)
        await _thousands(pool, double, api, pid, queries)


async def _set(pool: Pool, name: str, value: int) -> None:
    """Set a parameter on every connection of the pool."""
    async with AsyncExitStack() as held:
        for _ in range(CONNECTIONS):
            connection = await held.enter_async_context(borrowed(pool))
            await connection.execute("SELECT set_config(%s, %s, false)", (name, str(value)))


async def _by_hand(pool: Pool, vector: list[float], mode: str) -> float:
    """Search; the seconds that Postgres took."""
    async with borrowed(pool) as connection:
        started = time.perf_counter()
        cursor = await connection.execute(BY_HAND[mode], (Vector(vector).to_text(),))
        await cursor.fetchall()
        return time.perf_counter() - started


async def _one(pool: Pool, double: Double, api: str) -> None:
    """One search at a time, of questions whose vectors are known, in turns with SQL by hand."""
    click.echo(f"\nms, median of 100  by hand  service  overhead   load {os.getloadavg()[0]:.1f}")
    client = await Client.open(api)
    for mode in BY_HAND:
        hand, served = [], []
        for text in (f"{mode} {n}" for n in range(100)):
            await client.search(text, mode)
            hand.append(await _by_hand(pool, double.vector(text).tolist(), mode))
            served.append(await _timed([client.search(text, mode)]))
        more = median(b - a for a, b in zip(hand, served, strict=True))
        click.echo(
            f"{mode:18} {1e3 * median(hand):7.1f} {1e3 * median(served):8.1f} {1e3 * more:9.1f}"
        )


async def _fifty(pool: Pool, double: Double, api: str, rounds: int) -> None:
    """Fifty new questions at once, in turns with the same by hand, and the least by arithmetic."""
    click.echo(
        f"\nseconds for {AT_ONCE} questions at once, Ollama takes {1e3 * LATENCY:g} ms a request"
    )
    click.echo("Ollama does  search  minimum  by hand  service  to minimum  to by hand  load")
    served = [await Client.open(api) for _ in range(AT_ONCE)]
    for kind, slots in SLOTS.items():
        double.reset(request_ms=1e3 * LATENCY, slots=slots)
        direct = [await Client.open(double.url) for _ in range(AT_ONCE)]
        for mode in BY_HAND:
            alone, hand, service = [], [], []
            for n in range(rounds + 1):
                texts = [f"{kind} {mode} {n} {i}" for i in range(AT_ONCE)]
                vectors = [double.vector(text).tolist() for text in texts[:5]]
                alone += [await _by_hand(pool, vector, mode) for vector in vectors]
                hand.append(await _timed(map(_through(pool, mode), direct, texts)))
                asking = (c.search(t, mode) for c, t in zip(served, texts, strict=True))
                service.append(await _timed(asking))
            # The first round opens the connections.
            times = minimum(slots, min(alone)), median(hand[1:]), median(service[1:])
            _row(f"{kind:12} {mode:6}", *times)


def _row(name: str, least: float, hand: float, service: float) -> None:
    click.echo(
        f"{name} {least:8.2f} {hand:8.2f} {service:8.2f} {service / least:11.2f}"
        f" {service / hand:11.2f} {os.getloadavg()[0]:5.1f}"
    )


def _through(pool: Pool, mode: str) -> Callable[[Client, str], Awaitable[float]]:
    """A question's vector from the double, then the search, with nothing around it."""

    async def search(client: Client, text: str) -> float:
        return await _by_hand(pool, await client.embed(text), mode)

    return search


async def _timed(work: Iterable[Awaitable[object]]) -> float:
    """The seconds until all is done."""
    started = time.perf_counter()
    await asyncio.gather(*work)
    return time.perf_counter() - started


def minimum(slots: int, search: float) -> float:
    """Seconds until the last of fifty is found, where only Ollama and Postgres take time.

    Each question is a request, which takes one of Ollama's slots for its latency, and then a
    search, which takes a core. No slot and no core idles while somebody waits for it.

    Args:
        search: seconds of a core that one search takes.
    """
    cores = [0.0] * CORES
    for n in range(AT_ONCE):
        embedded = LATENCY * (n // slots + 1)
        heapreplace(cores, max(cores[0], embedded) + search)
    return max(cores)


async def _thousands(pool: Pool, double: Double, api: str, pid: int, queries: int) -> None:
    """Ten clients, a new question each time: memory and connections of the service."""
    double.reset()
    clients = [await Client.open(api) for _ in range(10)]
    click.echo("\nsearches  MB of memory  connections to Postgres  to Ollama")
    step = max(len(clients), queries // 10)
    for done in range(0, queries, step):

        async def ask(client: Client, at: int, start: int = done) -> None:
            for n in range(start + at, start + step, len(clients)):
                await client.search(f"question {n}", "approx")

        await asyncio.gather(*(ask(client, at) for at, client in enumerate(clients)))
        click.echo(
            f"{done + step:8,} {_memory(pid):13.1f} {await _opened(pool):24}"
            f" {double.stats()['connections']:10}"
        )


async def _opened(pool: Pool) -> int:
    """Connections to Postgres of the service."""
    async with borrowed(pool) as connection:
        found = await (await connection.execute(_CONNECTIONS)).fetchone()
    return found[0] - CONNECTIONS if found else 0


@contextmanager
def _serving(database: str, ollama: str) -> Iterator[tuple[str, int]]:
    """The address and the process id of a running service."""
    environment = {
        **os.environ,
        "INGESTION_DATABASE_URL": database,
        "OLLAMA_HOST": ollama,
        "INGEST_API_RATE": "1000000",
    }
    command = [sys.executable, "-m", "ingestion_assets", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = next(line for line in process.stderr if line.startswith("Search at "))
            yield said.split()[2].strip(";"), process.pid
        finally:
            process.terminate()


def _memory(pid: int) -> float:
    """Resident MB, as the kernel counts it."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
