"""The index in Dagster: built where the rule says so, measured, and missed by no search."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from ingestion_assets.changes import Vectors
from ingestion_assets.defs import build
from ingestion_assets.defs.vector_index import vector_index_due
from ingestion_assets.embedding import Ollama
from ingestion_assets.retrieval import corpus
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.request import Search
from ingestion_assets.retrieval.results import Results
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.settings import Settings
from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, active
from ingestion_assets.store.index import index_state, rule, vectors
from ingestion_assets.store.pool import borrowed, open_pool
from ingestion_assets_tests.services.faulty_ollama import Double
from ingestion_assets_tests.store import rows

Run = Callable[..., dg.ExecuteInProcessResult]

# As few links as pgvector allows, so that an easy search misses much.
WEAK = """
CREATE INDEX embeddings_1_hnsw ON ingestion.embeddings_1
USING hnsw (embedding vector_cosine_ops) WITH (m = 2, ef_construction = 4)
"""


@pytest.fixture
def project(
    folder: Path, database: str, ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dg.Definitions]:
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    monkeypatch.setattr(rule, "INDEX_FROM", 300)

    def define(target: float = 0.99) -> dg.Definitions:
        return build.definitions(
            Settings(
                database_url=database,
                ollama_host=ollama.url,
                sources=folder.parent / "sources.yaml",
                recall_target=target,
            )
        )

    return define


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def run(project: Callable[..., dg.Definitions], instance: dg.DagsterInstance) -> Run:
    def execute(job: str = "vector_index_job", target: float = 0.99) -> dg.ExecuteInProcessResult:
        resolved = project(target).resolve_job_def(job)
        return resolved.execute_in_process(instance=instance, raise_on_error=False)

    return execute


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def generation(connection: Connection) -> Generation:
    """A thousand vectors of no likeness, the hardest there are to find."""
    generation = rows.generation(connection, 64)
    pieces = rows.store(connection, "a.md", [f"text {n}" for n in range(1000)])[1]
    matrix = np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32)
    ids = [piece.chunk_id for piece in pieces], [piece.content_hash for piece in pieces]
    embeddings.write(connection, generation, Vectors(*ids, matrix))
    connection.execute("ANALYZE ingestion.embeddings_1")
    return generation


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [event] = [e for e in result.all_events if e.is_step_materialization]
    metadata = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items()}


def _check(result: dg.ExecuteInProcessResult) -> tuple[dg.AssetCheckEvaluation, dict[str, Any]]:
    """What came of the check, and its metadata."""
    [evaluation] = result.get_asset_check_evaluations()
    return evaluation, {name: value.value for name, value in evaluation.metadata.items()}


async def _effort(database: str) -> int | None:
    """How hard searches go through the index; none if they do not."""
    async with open_pool(database) as pool, borrowed(pool) as connection:
        return (await corpus.read(connection, "simple")).ef_search


def test_it_is_built_measured_and_kept(run, instance, project, connection, generation, database):
    resources = {"store": (project().resources or {})["store"]}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        assert isinstance(vector_index_due(context), dg.RunRequest)
        first = run()
        assert first.success
        metadata = _metadata(first)
        assert (metadata["done"], metadata["rows"]) == ("built", 1000)
        assert metadata["maintenance_work_mem_mb"] >= 64
        assert metadata["bytes"] > 0
        assert index_state(connection, generation).state == "valid"
        assert isinstance(vector_index_due(context), dg.SkipReason)
    evaluation, figures = _check(first)
    assert evaluation.passed
    assert figures["at_least"] >= 0.99
    assert figures["short_answers"] == 0
    assert asyncio.run(_effort(database)) == figures["ef_search"]
    shown = index_state(connection, generation)
    assert (shown.recall, shown.ef_search) == (figures["recall"], figures["ef_search"])
    second = _metadata(run())
    assert (second["done"], second["why"]) == ("kept", "it is as it should be")


def test_recall_below_the_target_raises_ef_search(run, connection, generation, database):
    connection.execute(WEAK)
    connection.execute("COMMENT ON INDEX ingestion.embeddings_1_hnsw IS '{\"ef_search\": 1}'")
    evaluation, _ = _check(run("recall_job", target=0.5))
    assert evaluation.passed
    effort = asyncio.run(_effort(database))
    assert effort is not None
    assert effort > 1


def test_a_target_that_cannot_be_met_fails_the_check(run, connection, generation, database):
    connection.execute(WEAK)
    evaluation, _ = _check(run("recall_job", target=0.9999))
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert "below 0.9999" in (evaluation.description or "")
    assert asyncio.run(_effort(database)) == 1000  # as hard as there is


def test_an_index_that_postgres_would_not_search_fails_the_asset(run, generation, monkeypatch):
    assert run().success
    # So few vectors it would rather read all of, which is not asked of a small table.
    monkeypatch.setattr(vectors, "INDEX_FROM", 300)
    result = run()
    assert not result.success
    [failed] = [e for e in result.all_events if e.is_step_failure]
    assert "would not search it" in failed.step_failure_data.user_failure_data.description


def test_golden_questions_are_measured_with_the_others(
    run, connection, ollama, materialize, monkeypatch
):
    monkeypatch.setattr(rule, "INDEX_FROM", 1)
    assert materialize().success
    connection.execute("ANALYZE ingestion.embeddings_1")
    connection.execute(
        "UPDATE ingestion.generations SET golden ="
        """ '[{"query": "First 1.", "uris": ["1.md"]}, {"query": "two", "uris": ["2.md"]}]'"""
    )
    assert _check(run(target=0.5))[1]["golden_questions"] == 2


def test_a_large_load_drops_it_and_every_search_is_right_until_it_is_back(
    run, database, connection, materialize, folder, ollama, monkeypatch
):
    monkeypatch.setattr(rule, "INDEX_FROM", 1)
    assert materialize().success
    connection.execute("ANALYZE ingestion.embeddings_1")
    assert run(target=0.5).success
    generation = active(connection)
    assert generation is not None
    assert index_state(connection, generation).state == "valid"
    assert asyncio.run(_search(database, ollama.url)).mode == "approx"
    for n in range(20, 40):
        (folder / f"{n}.md").write_text(f"# Note {n}\n\n## One\n\nFirst {n}.\n")
    assert materialize().success
    assert index_state(connection, generation).state == "none"
    found = asyncio.run(_search(database, ollama.url))
    assert (found.mode, len(found.hits)) == ("exact", 3)
    assert any("no index" in problem for problem in found.degraded)
    connection.execute("ANALYZE ingestion.embeddings_1")
    assert run(target=0.5).success
    again = asyncio.run(_search(database, ollama.url))
    assert (again.mode, len(again.hits)) == ("approx", 3)
    assert again.hits[0].chunk_id == found.hits[0].chunk_id


async def _search(database: str, ollama: str) -> Results:
    async with open_pool(database) as pool, Ollama(ollama) as client:
        searcher = Searcher(pool, QueryEmbedder(client))
        return await searcher.search(Search("First 2.", 3, "vector", "approx"))


def test_without_vectors_nothing_is_built(run):
    assert _metadata(run())["why"] == "nothing was ever embedded"
