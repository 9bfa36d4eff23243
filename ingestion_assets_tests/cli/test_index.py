"""`ingest index` builds the approximate index, measures it, and searches use what it found."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ingestion_assets.changes import Vectors
from ingestion_assets.cli import main
from ingestion_assets.retrieval import corpus
from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.pool import borrowed, open_pool
from ingestion_assets_tests.store import rows

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def index(database: str) -> Callable[..., Result]:
    """The command on a database of 500 vectors."""
    with connect(database) as connection:
        generation = rows.generation(connection, 32)
        pieces = rows.store(connection, "a.md", [f"text {i}" for i in range(500)])[1]
        matrix = np.random.default_rng(0).standard_normal((500, 32)).astype(np.float32)
        ids = [piece.chunk_id for piece in pieces], [piece.content_hash for piece in pieces]
        embeddings.write(connection, generation, Vectors(*ids, matrix))
    environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOST": NOBODY}
    return lambda *arguments: CliRunner().invoke(main, ["index", *arguments], env=environment)


def test_it_is_built_once_measured_and_used(index, database):
    first, second = index(), index()
    assert first.exit_code == second.exit_code == 0, first.output
    assert first.stdout.startswith("recall@10 ")
    assert first.stdout == second.stdout
    assert first.stderr.startswith("The index is built: 500 vectors in ")
    assert second.stderr == ""
    assert first.stdout.endswith(f"with ef_search {asyncio.run(_effort(database))}\n")


async def _effort(database: str) -> int | None:
    """How hard searches go through the index."""
    async with open_pool(database) as pool, borrowed(pool) as connection:
        return (await corpus.read(connection, "simple")).ef_search


def test_a_target_that_is_missed_ends_with_1(index):
    result = index("--target", "0.9999")  # more than a hundred questions can be sure of
    assert result.exit_code == 1
    assert "--mode exact" in result.stderr


def test_without_vectors_there_is_nothing_to_index(database):
    environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOST": NOBODY}
    result = CliRunner().invoke(main, ["index"], env=environment)
    assert result.exit_code == 1
    assert "run `ingest run`" in result.stderr
