"""A real Ollama keeps the contract that the double and the built-in embedder are held to.

Run it with `OLLAMA_TEST_HOST=http://host:11434 pytest -m ollama`; OLLAMA_TEST_MODEL names another
BERT-like model than all-minilm. It has to be installed there.
"""

import os

import pytest

from ingestion_assets_tests.contract.ollama import CHECKS, SERIAL_CHECKS, Server, name

pytestmark = pytest.mark.ollama


@pytest.fixture(scope="module")
def server() -> Server:
    host = os.environ.get("OLLAMA_TEST_HOST", "http://127.0.0.1:11434")
    return Server.of(host, os.environ.get("OLLAMA_TEST_MODEL", "all-minilm"))


@pytest.mark.parametrize("check", CHECKS + SERIAL_CHECKS, ids=name)
def test_contract(check, server):
    check(server)
