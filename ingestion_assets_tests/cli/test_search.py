"""`ingest search` finds by meaning, by words and by filters, and says what it could not do."""

import json
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from click.testing import CliRunner, Result

from ingestion_assets.changes import Vectors
from ingestion_assets.cli import main
from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Recipe, open_generation
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.services.faulty_ollama import Double, running
from ingestion_assets_tests.store import rows

TEXTS = ["Tie a bowline in a rope.", "Sails are sewn by hand.", "Splice the rope's end."]


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture(scope="module")
def filled(postgres: str, template: str, double: Double) -> Iterator[str]:
    """Three chunks with the double's vectors, and one that waits for its own."""
    with fresh_database(postgres, template) as database, connect(database) as connection:
        rows_of = rows.store(connection, "knots.md", TEXTS)[1]
        recipe = Recipe("all-minilm", _digest(double), 384, "", "", {})
        generation = open_generation(connection, recipe)
        matrix = [double.vector(text) for text in TEXTS]
        ids = [chunk.chunk_id for chunk in rows_of], [chunk.content_hash for chunk in rows_of]
        embeddings.write(connection, generation, Vectors(*ids, np.array(matrix, np.float32)))
        rows.store(connection, "new.md", ["A new anchor."], key="wiki/00")
        yield database


def _digest(double: Double) -> str:
    answer = httpx.get(f"{double.url}/api/tags", trust_env=False).json()
    return str(answer["models"][0]["digest"])


@pytest.fixture
def search(filled: str, double: Double) -> Callable[..., Result]:
    """The command, its output 80 columns wide."""
    environment = {
        "INGESTION_DATABASE_URL": filled,
        "OLLAMA_HOST": double.url,
        "INGESTION_CHAT_MODEL": "",
        "COLUMNS": "80",
    }

    def run(*arguments: str, **changes: str) -> Result:
        return CliRunner().invoke(main, ["search", *arguments], env=environment | changes)

    return run


def test_the_nearest_text_comes_first_and_fits_80_columns(search):
    result = search(TEXTS[1], "-k", "2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split()[::2] == ["1.", "notes/knots.md"]
    assert lines[2].strip() == "by meaning 1, by words 1"
    assert TEXTS[1] in lines[3]
    assert sum(line.startswith("2. ") for line in lines) == 1
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("method", ["vector", "text", "hybrid"])
def test_json_is_an_array_of_hits(search, method):
    [hit, *_] = json.loads(search(TEXTS[0], "--method", method, "--json").stdout)
    assert (hit["text"], hit["uri"], hit["source"]) == (TEXTS[0], "knots.md", "notes")
    assert hit["embedded"] is True


@pytest.mark.parametrize(
    ("options", "n"),
    [
        ([], 4),
        (["--source", "notes"], 3),
        (["--domain", "sea"], 0),
        (["--category", "notes"], 4),
        (["--uri-prefix", "new"], 1),
        (["--meta", "tags=a"], 4),
        (["--meta", 'depth={"n": 1.5}'], 4),
        (["--meta", "depth=1.5"], 0),
        (["--meta", "tags=a", "--meta", "tags=b"], 0),
        (["--after", "2026-01-02"], 4),
        (["--before", "2026-01-02"], 0),
        (["--after", "2026-01-02T04:00:00Z"], 0),
    ],
)
def test_every_filter_is_applied(search, options, n):
    result = search("rope sails anchor", "-k", "9", "--method", "text", "--json", *options)
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)) == n
    assert ("Nothing was found" in result.stderr) == (n == 0)


def test_a_text_that_waits_for_its_vector_is_marked(search):
    assert "by words 1, no vector yet" in search("anchor").stdout


def test_reranked_hits_say_where_they_were(search):
    result = search("rope", "--rerank", "mmr", "-k", "2")
    assert result.exit_code == 0, result.output
    assert "was 1" in result.stdout
    result = search("rope", "--rerank", "model")
    assert result.exit_code == 1
    assert "Incomplete: rerank: there is no chat model" in result.stderr
    assert "1. " in result.stdout


def test_without_ollama_words_are_searched_and_the_exit_code_says_so(search):
    result = search("bowline", OLLAMA_HOST="127.0.0.1:9")
    assert result.exit_code == 1
    assert "Incomplete: ollama:" in result.stderr
    assert TEXTS[0] in result.stdout
    result = search("bowline", "--method", "vector", OLLAMA_HOST="127.0.0.1:9")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([" "], "empty"),
        (["a\0"], "NUL"),
        (["the of", "--method", "text"], "no word to look for"),
        (["rope", "--source", "nobody"], "stored are: notes, wiki"),
        (["rope", "--meta", "tags"], "has no ="),
        (["rope", "--after", "soon"], "'soon' is no date"),
        (["rope", "-k", "1001"], "1001"),
        (["rope", "--method", "magic"], "magic"),
    ],
)
def test_what_cannot_be_searched_is_a_usage_error(search, arguments, problem):
    result = search(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


def test_an_unknown_language_is_a_usage_error(search):
    result = search("rope", "--method", "text", INGEST_TEXT_LANGUAGE="klingon")
    assert result.exit_code == 2
    assert "klingon" in result.stderr
