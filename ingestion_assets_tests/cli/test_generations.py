"""`ingest reembed` and `ingest generations`, with vectors of a double's two models."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from psycopg import sql

from ingestion_assets.cli import main
from ingestion_assets.metrics import EmbeddingMetrics
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import active, find
from ingestion_assets.worker.backfill import Backfill
from ingestion_assets.worker.session import Place
from ingestion_assets_tests.services.faulty_ollama import Double, running
from ingestion_assets_tests.store import rows

TEXTS = [f"text {n}" for n in range(30)]

Ingest = Callable[..., Result]


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    with running(models={"other": 128}) as double:
        yield double


@pytest.fixture
def fill(database: str, double: Double) -> Callable[[], bool]:
    """Embeds all that waits, as `ingest worker --backfill` does."""
    place = Place(database, [double.url], Settings(), EmbeddingMetrics(), most=16)
    return lambda: asyncio.run(Backfill(place).run())


@pytest.fixture
def connection(database: str, fill: Callable[[], bool]) -> Iterator[Connection]:
    """A store of thirty documents, embedded."""
    with connect(database) as connection:
        for n, text in enumerate(TEXTS):
            rows.store(connection, f"{n}.md", [text])
        fill()
        yield connection


@pytest.fixture
def ingest(database: str, double: Double, connection: Connection) -> Ingest:
    environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOST": double.url}
    return lambda *arguments: CliRunner().invoke(main, arguments, env=environment)


def _listed(ingest: Ingest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ingest("generations", "--json").stdout)
    return found


def _golden(folder: Path, name: str = "golden.jsonl") -> str:
    lines = [json.dumps({"query": text, "uris": [f"{n}.md"]}) for n, text in enumerate(TEXTS[:9])]
    (folder / name).write_text("\n".join(lines))
    return str(folder / name)


def _searched(connection: Connection) -> int | None:
    found = active(connection)
    return found.generation_id if found else None


def test_it_is_opened_filled_searched_and_gone_back_from(ingest, fill, connection):
    opened = ingest("reembed", "--model", "other")
    assert opened.exit_code == 0, opened.output
    assert opened.stdout == "2\n"
    assert "It is searched when 100% of the texts have their vector." in opened.stderr
    first, second = _listed(ingest)
    assert (first["status"], first["embedded"]) == ("active", 30)
    assert (second["status"], second["missing"], second["awaits"]) == ("building", 30, "waiting")
    assert second["dimensions"] == 128
    assert fill()
    assert _searched(connection) == 2
    back = ingest("generations", "rollback")
    assert back.exit_code == 0, back.output
    assert "Generation 1 (all-minilm) is searched now." in back.stderr
    assert _searched(connection) == 1


def test_the_list_fits_80_columns(ingest, fill):
    ingest("reembed", "--model", "other", "--query-prefix", "query: ", "--no-activate")
    fill()
    listed = ingest("generations")
    assert listed.exit_code == 0
    lines = listed.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(" 1  active    all-minilm ")
    assert "    30 of 30 texts, 100.0 %" in lines
    assert "    prefixes '', questions 'query: '" in lines
    assert "    building: it waits for `ingest generations activate`" in lines


def test_no_activate_waits_for_the_operator(ingest, fill, connection):
    ingest("reembed", "--model", "other", "--no-activate")
    assert "30 wait" in ingest("generations", "activate", "2").stderr
    fill()
    assert _searched(connection) == 1
    assert ingest("generations", "activate", "2").exit_code == 0
    assert _searched(connection) == 2


def test_dimensions_are_shortened_by_the_server_and_stored_as_asked(
    ingest, fill, connection, double
):
    ingest("reembed", "--model", "all-minilm", "--dimensions", "64", "--storage", "halfvec")
    assert fill()
    made = find(connection, 2)
    assert made is not None
    assert (made.status, made.dimensions, made.storage) == ("active", 64, "halfvec")
    stored = connection.execute(
        sql.SQL(
            "SELECT c.text, e.embedding::real[] FROM ingestion.chunks c JOIN {} e USING (chunk_id)"
        ).format(made.table)
    ).fetchall()
    assert len(stored) == 30
    for text, vector in stored:
        cut = double.vector(text)[:64]
        np.testing.assert_allclose(vector, cut / np.linalg.norm(cut), atol=1e-3)
    found = ingest("search", "text 7", "--method", "vector", "--json")
    hit = json.loads(found.stdout)[0]
    assert (hit["text"], hit["generation"]) == ("text 7", 2)


@pytest.mark.parametrize("name", ["golden.jsonl", "golden.csv"])
def test_one_that_finds_the_golden_questions_is_searched(ingest, fill, connection, tmp_path, name):
    path = _golden(tmp_path, name)
    if name.endswith("csv"):
        lines = ["query,uri", *(f"{text},notes/{n}.md" for n, text in enumerate(TEXTS[:9]))]
        Path(path).write_text("\n".join(lines))
    ingest("reembed", "--model", "other", "--golden", path)
    assert fill()
    assert _searched(connection) == 2
    gate = _listed(ingest)[1]["gate"]
    assert (gate["passed"], gate["questions"], gate["hit_rate"], gate["ndcg"]) == (True, 9, 1, 1)


def test_one_that_does_not_find_them_waits_for_the_operator(ingest, fill, connection, tmp_path):
    path = _golden(tmp_path)
    # The double's vectors say nothing of meaning: with a prefix, no question finds its text.
    ingest("reembed", "--model", "other", "--prefix", "a document: ", "--golden", path)
    fill()
    fill()  # they are not asked again
    assert _searched(connection) == 1
    second = _listed(ingest)[1]
    assert (second["awaits"], second["gate"]["passed"]) == ("refused", False)
    assert "golden questions: hit rate" in ingest("generations").stdout
    refused = ingest("generations", "activate", "2")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert ingest("generations", "activate", "2", "--force").exit_code == 0
    assert _searched(connection) == 2


def test_one_that_is_given_up_is_dropped_and_listed_on_demand(ingest):
    ingest("reembed", "--model", "other")
    assert ingest("generations", "drop", "2").exit_code == 0
    assert "other" not in ingest("generations").stdout
    assert "its vectors are gone" in ingest("generations", "--all").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["reembed", "--model", "all-minilm"], 2, "made in this very way"),
        (["reembed", "--model", "nowhere"], 1, "ollama pull nowhere"),
        (["reembed", "--model", "other", "--dimensions", "256"], 2, "gives 128 dimensions"),
        (["generations", "activate", "9"], 2, "there is no generation 9"),
        (["generations", "drop", "1"], 1, "generation 1 is active"),
        (["generations", "rollback"], 1, "no generation is kept"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_remedy(ingest, arguments, code, message):
    result = ingest(*arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.output


@pytest.mark.parametrize("line", ['{"query": "q"}', "no json", '{"query": "q", "uris": "a.md"}'])
def test_a_file_of_golden_questions_is_checked_line_by_line(ingest, tmp_path, line):
    path = _golden(tmp_path)
    with Path(path).open("a") as file:
        file.write(f"\n{line}\n")
    result = ingest("reembed", "--model", "other", "--golden", path)
    assert result.exit_code == 2
    assert "golden.jsonl:10 is no golden question" in result.stderr


def test_a_model_that_is_gone_is_not_gone_back_to(ingest, fill, connection, double):
    ingest("reembed", "--model", "other")
    fill()
    double.reset(model="other", dimensions=128)
    refused = ingest("generations", "rollback")
    double.reset(models={"other": 128})
    assert refused.exit_code == 1
    assert "cannot be searched" in refused.stderr
    assert _searched(connection) == 2
