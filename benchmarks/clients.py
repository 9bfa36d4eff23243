"""The clients that benchmarks/embedding.py compares; each is run in a process of its own."""

import asyncio
import json
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import httpx
import numpy as np
import orjson
from pgvector.psycopg import register_vector
from psycopg import sql

from ingestion_assets.changes import Vectors
from ingestion_assets.embedding import EmbeddingStream, Endpoints, Identity, Ollama
from ingestion_assets.memory import prevent_fragmentation
from ingestion_assets.settings import Settings
from ingestion_assets.store import claims
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.copy import packed
from ingestion_assets.store.fleet import Fleet
from ingestion_assets.store.generations import Generation, Recipe, open_generation
from ingestion_assets.store.writers import EmbeddingsWriter

MODEL = "all-minilm"
_STORE_ROWS = 5_000
_COPY: LiteralString = "COPY {} (chunk_id, content_hash, embedding) FROM STDIN (FORMAT BINARY)"
_CHUNKS = "SELECT chunk_id, content_hash, text FROM ingestion.chunks WHERE partition_key = %s"


@dataclass(slots=True)
class Figures:
    """What a client took.

    Attributes:
        seconds: of wall clock.
        cpu: seconds of the process, all of its threads, user and system.
        peak: MB of memory at most.
        limit: highest limit on the requests in flight to one server, where there is one.
    """

    texts: int
    seconds: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0
    limit: int = 0
    _began: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    @property
    def rate(self) -> float:
        """Texts a second."""
        return self.texts / self.seconds

    @property
    def cpu_per_1000(self) -> float:
        """CPU seconds for a thousand texts."""
        return 1e3 * self.cpu / self.texts


@contextmanager
def _measured(texts: int) -> Iterator[Figures]:
    figures = Figures(texts)
    wall, cpu = time.perf_counter(), _cpu()
    yield figures
    figures.seconds, figures.cpu = time.perf_counter() - wall, _cpu() - cpu
    figures.peak = _peak()


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak() -> float:
    """MB; ru_maxrss would begin with what the parent had when it forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def product(
    database: str, hosts: Sequence[str], key: str, texts: int, settings: Settings
) -> Figures:
    """The product's stream into the product's writer, as its resource and IO manager put them."""
    prevent_fragmentation()
    return asyncio.run(_product(database, hosts, key, texts, settings))


async def _product(
    database: str, hosts: Sequence[str], key: str, texts: int, settings: Settings
) -> Figures:
    workers = settings.max_in_flight
    clients = [
        Ollama(host, connections=max(10, workers + 2), keepalive=max(5, workers)) for host in hosts
    ]
    async with (
        Endpoints(clients, workers=settings.workers, max_workers=workers) as pool,
        Fleet(database, pool.shares(), most=workers, live=False),
    ):
        model = await pool.identify(MODEL)
        with connect(database) as connection, _measured(texts) as figures:
            generation = open_generation(connection, _recipe(model))
            writer = EmbeddingsWriter(connection, key, generation)
            pages = claims.pages(lambda: connect(database), generation, key)
            stream = EmbeddingStream(
                pool, model, lambda: next(pages, []), batch_size=settings.batch_size
            )
            counts = await _drain(stream, writer)
        _expect(counts["rows"], texts)
        figures.limit = max(state.limiter.highest for state in pool.states())
    return figures


async def _drain(stream: EmbeddingStream, writer: EmbeddingsWriter) -> dict[str, int]:
    await asyncio.to_thread(writer.begin)
    async with aclosing(aiter(stream)) as batches:
        async for vectors in batches:
            await asyncio.to_thread(writer.write, vectors)
    return await asyncio.to_thread(writer.finish)


def by_hand(database: str, host: str, key: str, texts: int) -> Figures:
    """What is written in an afternoon: httpx, json, 64 texts a request, 4 in flight, COPY."""
    with connect(database) as connection:
        register_vector(connection)
        generation = _generation(connection)
        with _measured(texts) as figures:
            rows = connection.execute(_CHUNKS, (key,)).fetchall()
            asyncio.run(_by_hand(connection, generation, host, rows))
        _expect(_count(connection, generation), texts)
    return figures


async def _by_hand(
    connection: Connection, generation: Generation, host: str, rows: Sequence[Any]
) -> None:
    turns = asyncio.Semaphore(4)
    done: list[tuple[UUID, bytes, Any]] = []

    async def embed(client: httpx.AsyncClient, batch: Sequence[Any]) -> None:
        async with turns:
            asked = {"model": MODEL, "input": [text for _, _, text in batch], "truncate": False}
            answer = await client.post(f"{host}/api/embed", json=asked)
            for (chunk_id, digest, _), row in zip(
                batch, json.loads(answer.content)["embeddings"], strict=True
            ):
                done.append((chunk_id, digest, np.array(row, dtype=np.float32)))
            if len(done) >= _STORE_ROWS:
                ready = done.copy()
                done.clear()
                await asyncio.to_thread(_copy_rows, connection, generation, ready)

    async with httpx.AsyncClient(timeout=300, trust_env=False) as client:
        await asyncio.gather(*(embed(client, rows[i : i + 64]) for i in range(0, len(rows), 64)))
    _copy_rows(connection, generation, done)


def _copy_rows(connection: Connection, generation: Generation, rows: Sequence[Any]) -> None:
    statement = sql.SQL(_COPY).format(generation.table)
    with (
        connection.transaction(),
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        copy.set_types(["uuid", "bytea", "vector"])
        for row in rows:
            copy.write_row(row)


def packed_copy(database: str, key: str, texts: int) -> Figures:
    """COPY of rows that are packed already: what Postgres and its protocol cost alone."""
    with connect(database) as connection:
        generation = _generation(connection)
        batches = list(_packed(connection, generation, key))
        with _measured(texts) as figures:
            for batch in batches:
                _copy_packed(connection, generation, batch)
        _expect(_count(connection, generation), texts)
    return figures


def _packed(connection: Connection, generation: Generation, key: str) -> Iterator[bytes]:
    rows = connection.execute(_CHUNKS, (key,)).fetchall()
    rng = np.random.default_rng(0)
    for start in range(0, len(rows), _STORE_ROWS):
        ids, hashes, _ = zip(*rows[start : start + _STORE_ROWS], strict=True)
        matrix = rng.standard_normal((len(ids), generation.dimensions), dtype=np.float32)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        yield packed(Vectors(ids, hashes, matrix), half=False)


def _copy_packed(connection: Connection, generation: Generation, rows: bytes) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        with cursor.copy(sql.SQL(_COPY).format(generation.table)) as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            copy.write(rows)
            copy.write(b"\xff\xff")


def load_generator(host: str, texts: int, batch: int, in_flight: int) -> Figures:
    """The limit: ready requests over plain sockets, answers read and thrown away."""
    return asyncio.run(_load(host, texts, batch, in_flight))


async def _load(host: str, texts: int, batch: int, in_flight: int) -> Figures:
    requests = iter([_request(i, min(batch, texts - i)) for i in range(0, texts, batch)])
    address, _, port = host.rpartition("/")[2].rpartition(":")
    lanes = [await asyncio.open_connection(address, int(port)) for _ in range(in_flight)]
    with _measured(texts) as figures:
        await asyncio.gather(*(_lane(reader, writer, requests) for reader, writer in lanes))
    for _, writer in lanes:
        writer.close()
    return figures


async def _lane(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Iterator[bytes]
) -> None:
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))


def _request(start: int, n: int) -> bytes:
    texts = [f"{i} " + " ".join([f"{i:032x}"] * 25) for i in range(start, start + n)]
    body = orjson.dumps({"model": MODEL, "input": texts, "truncate": False})
    return b"POST /api/embed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _recipe(model: Identity) -> Recipe:
    return Recipe(model.model, model.digest, model.dimensions, "", "", model.options)


def _generation(connection: Connection) -> Generation:
    recipe = Recipe("by hand", "", 768, "", "", {})
    return open_generation(connection, recipe)


def _count(connection: Connection, generation: Generation) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(generation.table)).fetchone()
    return int(row[0]) if row else 0


def _expect(stored: int, texts: int) -> None:
    if stored != texts:
        raise SystemExit(f"{stored:,} vectors stored instead of {texts:,}")
