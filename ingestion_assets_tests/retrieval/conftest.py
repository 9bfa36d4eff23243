"""Doubles of Ollama for the retrieval tests."""

from collections.abc import Iterator

import pytest

from ingestion_assets_tests.services.faulty_ollama import Double, running


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def _double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def faulty_ollama(_double: Double) -> Double:
    """A double without faults, with a cold model and counts at zero."""
    _double.reset()
    return _double
