"""`ingest answer`: the words as they come, then the sources."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from ingestion_assets.cli import main
from ingestion_assets_tests.api import given
from ingestion_assets_tests.services.faulty_ollama import Double, running


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def ask(database, double):
    given.store(database, double.url)

    def run(*arguments: str, **settings: str) -> Result:
        environment = {
            "INGESTION_DATABASE_URL": database,
            "OLLAMA_HOST": double.url,
            "INGESTION_CHAT_MODEL": "llama3.2",
            "INGEST_ANSWER_THRESHOLD": "-1",
        }
        return CliRunner().invoke(main, ["answer", *arguments], env=environment | settings)

    return run


def test_answer_comes_before_its_sources(ask):
    result = ask("what do whales eat")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "It says so [1].\n\n[1] notes/whales.md\n"


def test_answer_as_json(ask):
    said = json.loads(ask("what do whales eat", "--json", "-k", "2").stdout)
    assert (said["answer"], said["found"]) == ("It says so [1].", True)
    assert said["sources"][0]["uri"] == "whales.md"


def test_nothing_near_is_not_found(ask):
    result = ask("what do whales eat", "--method", "vector", INGEST_ANSWER_THRESHOLD="0.99")
    assert (result.exit_code, result.stdout) == (0, "Not found in the documents.\n")


def test_no_chat_model_names_the_setting(ask):
    result = ask("what do whales eat", INGESTION_CHAT_MODEL="")
    assert result.exit_code == 2
    assert "INGESTION_CHAT_MODEL" in result.stderr
