"""Loading without the approximate index and building it after, against loading into it.

python benchmarks/index.py --rows 100000
"""

import asyncio
import tempfile
import time
from pathlib import Path
from uuid import UUID

import click
import numpy as np
from numpy.typing import NDArray
from search import DIMENSIONS, Meaning

from ingestion_assets.changes import Vectors
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.retrieval.recall import STEPS, measure, tune
from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, Recipe, open_generation
from ingestion_assets.store.index import Built, build_vector_index, check_used
from ingestion_assets.store.pool import open_pool
from ingestion_assets.store.schema import migrate

BATCH = 5_000
_CHUNKS = """
WITH document AS (
    INSERT INTO ingestion.documents
    VALUES (gen_random_uuid(), 'bench', 'bench/00', 'a', '', '', '', '', '{}', NULL, NULL, 0,
            now(), now())
    RETURNING document_id)
INSERT INTO ingestion.chunks
SELECT gen_random_uuid(), document_id, 'bench/00', n, '', n::text,
       decode(md5(n::text), 'hex'), 1, 0, 1, 'bench'
FROM document, generate_series(1, %s) n
"""
_IDS = "SELECT chunk_id, content_hash FROM ingestion.chunks ORDER BY chunk_id"


@click.command()
@click.option("--rows", default=100_000, show_default=True, help="Vectors of 384 dimensions.")
@click.option("--through", default=None, type=int, help="Written through the index; all, if unset.")
def main(rows: int, through: int | None) -> None:
    """Store ROWS vectors both ways, then measure the recall."""
    matrix = Meaning().vectors(rows)
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as server:
        migrate(server.address)
        with connect(server.address) as connection:
            connection.execute("INSERT INTO ingestion.sources VALUES ('bench', 'files', '{}', 1)")
            connection.execute(_CHUNKS, (rows,))
            found = connection.execute(_IDS).fetchall()
            _after(connection, found, matrix)
            _through(connection, found[: through or rows], matrix)
        asyncio.run(_recall(server.address))


def _after(
    connection: Connection, chunks: list[tuple[UUID, bytes]], matrix: NDArray[np.float32]
) -> None:
    generation = open_generation(connection, Recipe("after", "sha", DIMENSIONS, "", "", {}))
    loaded = _load(connection, generation, chunks, matrix)
    built = build_vector_index(connection, generation)
    if built is None:
        raise AssertionError("somebody else is building the index")
    check_used(connection, generation)
    _show("loaded, then built", len(chunks), loaded + built.seconds)
    _show("  the load", len(chunks), loaded)
    _show(f"  the build, {_effort(built)}", len(chunks), built.seconds)


def _through(
    connection: Connection, chunks: list[tuple[UUID, bytes]], matrix: NDArray[np.float32]
) -> None:
    generation = open_generation(connection, Recipe("through", "sha", DIMENSIONS, "", "", {}))
    build_vector_index(connection, generation)
    _show("loaded through it", len(chunks), _load(connection, generation, chunks, matrix))


def _load(
    connection: Connection,
    generation: Generation,
    chunks: list[tuple[UUID, bytes]],
    matrix: NDArray[np.float32],
) -> float:
    """Seconds of the product's own writing, batch by batch."""
    started = time.perf_counter()
    for start in range(0, len(chunks), BATCH):
        ids, hashes = zip(*chunks[start : start + BATCH], strict=True)
        part = matrix[start : start + len(ids)]
        embeddings.write(connection, generation, Vectors(list(ids), list(hashes), part))
    return time.perf_counter() - started


async def _recall(url: str) -> None:
    async with open_pool(url) as pool:
        click.echo("\nrecall@10 by ef_search")
        for found in await measure(pool, STEPS):
            low, high = found.interval
            click.echo(
                f"{found.ef_search:5} {found.value:.4f} ({low:.4f} to {high:.4f}),"
                f" {found.short} of {found.questions} answers short"
            )
        click.echo(f"chosen: {(await tune(pool)).ef_search}")


def _effort(built: Built) -> str:
    return f"{built.effort.memory} MB, {built.effort.workers} workers, gives {built.bytes >> 20} MB"


def _show(name: str, rows: int, seconds: float) -> None:
    click.echo(f"{name:48} {rows:8,} {seconds:8.1f} s {rows / seconds:10,.0f} rows/s")


if __name__ == "__main__":
    main()
