"""What the API and the worker expose of a database in which every metric has a value."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import LiteralString

from psycopg import sql

from ingestion_assets.metrics import RUN_COUNTERS, Figure
from ingestion_assets.store import counters, looks
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import active
from ingestion_assets_tests.api import given
from ingestion_assets_tests.services.faulty_ollama import running
from ingestion_assets_tests.store import rows
from ingestion_assets_tests.worker.running import wait_for, worker

_INDEX = "CREATE INDEX embeddings_1_hnsw ON {} (chunk_id)"
_RECALL = """COMMENT ON INDEX {} IS '{{"ef_search": 40, "recall": 0.97}}'"""


def exposed(database: str, log: Path) -> Mapping[str, str]:
    """The /metrics of a worker and of an API, by what they are."""
    with running() as double:
        given.store(database, double.url)
        _fill(database)
        settings = {
            "INGESTION_DATABASE_URL": database,
            "OLLAMA_HOST": double.url,
            "INGEST_WORKER_PORT": "0",
        }
        with worker(log, environment=settings) as process:
            wait_for(lambda: "embedding_breaker_state{" in process.get("/metrics").text)
            of_worker = process.get("/metrics").text
        return {"worker": of_worker, "api": asyncio.run(_api(database, double.url))}


async def _api(database: str, host: str) -> str:
    async with given.service(database, host) as http:
        await http.get("/api/search", params={"q": "whales"})
        return (await http.get("/metrics")).text


def _fill(database: str) -> None:
    with connect(database) as connection:
        for name, (_, labels) in RUN_COUNTERS.items():
            counters.add(connection, "notes", [Figure(name, ("notes", *labels[1:]), 1)])
        looks.record(connection, rows.KEY, [])
        generation = active(connection)
        assert generation is not None
        statements: tuple[tuple[LiteralString, sql.Identifier | None], ...] = (
            ("UPDATE ingestion.generations SET created_at = now() - interval '1 hour'", None),
            ("UPDATE ingestion.documents SET ingested_at = now(), modified_at = now()", None),
            ("UPDATE {} SET embedded_at = now()", generation.table),
            (_INDEX, generation.table),
            (_RECALL, sql.Identifier("ingestion", "embeddings_1_hnsw")),
        )
        for statement, relation in statements:
            connection.execute(sql.SQL(statement).format(relation))
