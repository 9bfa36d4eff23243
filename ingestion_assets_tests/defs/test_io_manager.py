import threading
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import psycopg

from ingestion_assets.defs.partitions import partitions
from ingestion_assets.store import looks, status
from ingestion_assets.store.connection import connect
from ingestion_assets.store.frames import Frames
from ingestion_assets_tests.defs.conftest import Materialize
from ingestion_assets_tests.services.faulty_ollama import Double

SEEN: dict[str, object] = {}


@dg.asset(partitions_def=partitions)
def whole(chunks: pd.DataFrame, embeddings: pd.DataFrame) -> None:
    SEEN["whole"] = chunks.merge(embeddings, on="chunk_id")


@dg.asset(partitions_def=partitions)
def paged(sources: Frames) -> None:
    SEEN["paged"] = [len(frame) for frame in sources]


@dg.asset
def everything(chunks: pd.DataFrame) -> None:
    SEEN["everything"] = chunks


def test_downstream_asset_reads_chunks_with_their_vectors(
    materialize: Materialize, ollama: Double
) -> None:
    assert materialize(whole).success
    frame = SEEN["whole"]
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) > 0
    texts = frame["heading"] + "\n\n" + frame["text"]
    matrix = np.stack(list(frame["embedding"]))
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix, [ollama.vector(text) for text in texts])


def test_downstream_asset_reads_a_stream_of_frames(materialize: Materialize) -> None:
    assert materialize(paged).success
    assert SEEN["paged"] == [_count(materialize, "notes/00")]


def test_unpartitioned_asset_reads_all_partitions(materialize: Materialize) -> None:
    assert materialize(key="notes/00").success
    assert materialize(key="notes/01").success
    assert materialize(everything, key=None, selection="everything").success
    frame = SEEN["everything"]
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 12
    assert set(frame["partition_key"]) == {"notes/00", "notes/01"}


def test_what_it_cannot_store_is_refused_with_the_remedy(materialize: Materialize) -> None:
    @dg.asset(partitions_def=partitions, io_manager_key="pgvector")
    def other() -> int:
        return 1

    result = materialize(other, selection="other")
    [failure] = [e for e in result.all_events if e.is_step_failure]
    assert "give the asset an IO manager of its own" in str(
        failure.step_failure_data.user_failure_data
    )


def test_every_materialization_carries_its_numbers(materialize: Materialize) -> None:
    numbers = _numbers(materialize())
    documents = numbers["sources"]["dagster/row_count"]
    assert documents == numbers["sources"]["new"]
    assert numbers["chunks"]["dagster/row_count"] == 2 * documents
    assert numbers["embeddings"]["texts_sent"] == 2 * documents
    for name in ("chunks_per_s", "p95_ms", "reused", "missing", "requests", "retries"):
        assert isinstance(numbers["embeddings"][name], int | float)
    for stage in numbers.values():
        assert stage["seconds"] > 0
        assert stage["p95_ms"] >= stage["p50_ms"] > 0
    assert numbers["sources"]["bytes_read"] == numbers["chunks"]["bytes"] > 0
    assert numbers["embeddings"]["plot"].startswith("![chunks/s and concurrency](data:image/svg")


def test_second_materialization_does_nothing(
    materialize: Materialize, ollama: Double, database: str
) -> None:
    assert materialize().success
    before, sent = _content(database), ollama.stats()["texts_seen"]
    assert materialize().success
    assert _content(database) == before
    assert ollama.stats()["texts_seen"] == sent


def _count(materialize: Materialize, key: str) -> int:
    count: int = _numbers(materialize(key=key, selection="sources"))["sources"]["dagster/row_count"]
    return count


def _numbers(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    return {
        event.asset_key.to_user_string(): {
            name: value.value
            for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    }


def _content(database: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(
            "SELECT chunk_id, c.xmin::text, e.xmin::text, embedded_at"
            " FROM ingestion.chunks c JOIN ingestion.embeddings_1 e USING (chunk_id) ORDER BY 1"
        ).fetchall()


def test_no_transaction_is_open_while_ollama_works(
    materialize: Materialize, ollama: Double, database: str
) -> None:
    ollama.reset(request_ms=1500)
    ages: list[float] = []
    done = threading.Event()
    watcher = threading.Thread(target=_watch_transactions, args=(database, done, ages))
    watcher.start()
    try:
        assert materialize().success
    finally:
        done.set()
        watcher.join()
    assert max(ages, default=0.0) < 1.0


def _watch_transactions(database: str, done: threading.Event, ages: list[float]) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        while not done.wait(0.05):
            rows = connection.execute(
                "SELECT extract(epoch FROM clock_timestamp() - xact_start) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND xact_start IS NOT NULL"
            )
            ages += [float(age) for (age,) in rows]


def test_what_could_not_be_read_is_noted_until_it_can(
    materialize: Materialize, folder: Path, database: str
) -> None:
    sources = folder.parent / "sources.yaml"
    listed = sources.read_text()
    sources.write_text("sources: [{name: notes, root: notes, max_bytes: 99}]")
    (folder / "large.md").write_text("word " * 99)
    assert materialize(selection="sources").success
    with connect(database) as connection:
        [found] = looks.unread(connection)
        assert (found.source, found.uri, found.error_class) == ("notes", "large.md", "SourceError")
        [partition] = status.partitions(connection)
        assert partition.last_run is not None
        sources.write_text(listed.replace(", buckets: 2", ""))
        assert materialize(selection="sources").success
        assert looks.unread(connection) == []
