"""What a run did is found in the database after its end, by source and model."""

from pathlib import Path

from ingestion_assets.store.connection import connect
from ingestion_assets.store.counters import counted
from ingestion_assets_tests.defs.conftest import Materialize
from ingestion_assets_tests.services.faulty_ollama import Double


def _counted(database: str) -> dict[tuple[str, ...], float]:
    with connect(database) as connection:
        return {(f.name, *f.labels): f.value for f in counted(connection)}


def test_a_run_counts_documents_chunks_and_texts(
    materialize: Materialize, database: str, folder: Path
) -> None:
    assert materialize(key="notes/00").success
    first = _counted(database)
    documents = first["ingestion_documents_total", "notes", "new"]
    texts = first["ingestion_texts_total", "notes", "all-minilm", "embedded"]
    assert first["ingestion_chunks_total", "notes", "new"] == texts >= documents > 0
    assert first["ingestion_requests_total", "notes", "all-minilm"] >= 1
    for stage in ("sources", "chunks", "embeddings"):
        assert first["ingestion_stages_total", "notes", stage, "done"] == 1

    assert materialize(key="notes/00").success
    second = _counted(database)
    assert second["ingestion_documents_total", "notes", "unchanged"] == documents
    assert second["ingestion_texts_total", "notes", "all-minilm", "embedded"] == texts
    assert second["ingestion_stages_total", "notes", "embeddings", "done"] == 2


def test_a_run_without_its_model_counts_as_failed(
    materialize: Materialize, database: str, ollama: Double
) -> None:
    ollama.reset(model="other")
    assert not materialize(key="notes/00").success
    found = _counted(database)
    assert found["ingestion_stages_total", "notes", "embeddings", "failed"] == 1
    assert found["ingestion_stages_total", "notes", "embeddings", "done"] == 0
    assert found["ingestion_stages_total", "notes", "chunks", "done"] == 1
