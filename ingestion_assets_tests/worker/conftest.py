"""A database, the double of Ollama, and workers over both."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from ingestion_assets.store.connection import Connection, connect
from ingestion_assets_tests.services.faulty_ollama import Double, running
from ingestion_assets_tests.worker.running import Process, worker

Start: TypeAlias = Callable[..., AbstractContextManager[Process]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def _double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def double(_double: Double) -> Double:
    """A double of Ollama without faults, with a cold model and counts at zero."""
    _double.reset()
    return _double


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where workers keep compiled modules: as an installed one has them, and not to compile again.

    What compiling leaves behind in a process would be counted as the worker's memory.
    """
    return str(tmp_path_factory.mktemp("bytecode"))


@pytest.fixture
def start(tmp_path: Path, database: str, double: Double, bytecode: str) -> Start:
    """Starts a worker with options, and with settings over the test's own."""
    settings = {
        "INGESTION_DATABASE_URL": database,
        "INGESTION_STATE": str(tmp_path / "state"),
        "OLLAMA_HOST": double.url,
        "INGEST_WORKER_PORT": "0",
        "INGEST_WORKER_SWEEP": "600",
        "PYTHONPYCACHEPREFIX": bytecode,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    logs = iter(range(100))
    return lambda *options, **changed: worker(
        tmp_path / f"log{next(logs)}", *options, environment={**settings, **changed}
    )
