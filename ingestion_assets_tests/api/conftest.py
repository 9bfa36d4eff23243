"""The double of Ollama in its own process, and a database with a few documents."""

from collections.abc import Iterator

import pytest

from ingestion_assets_tests.api import given
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.services.faulty_ollama import Double, running


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def _double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def ollama(_double: Double) -> Double:
    """A double without faults, with a cold model and counts at zero."""
    _double.reset()
    return _double


@pytest.fixture(scope="module")
def library(postgres: str, template: str, embedder: str) -> Iterator[str]:
    """URL of a database whose documents have the built-in model's vectors."""
    with fresh_database(postgres, template) as database:
        given.store(database, embedder)
        yield database


@pytest.fixture
def stored(database: str, ollama: Double) -> str:
    """URL of a database whose documents have the double's vectors."""
    given.store(database, ollama.url)
    return database
