"""`ingest status` says what is embedded, what waits, and what failed and why."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from ingestion_assets.cli import main
from ingestion_assets.cli.status import _table
from ingestion_assets.store import ledger, looks
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.ledger import Failed
from ingestion_assets.store.status import PartitionStatus
from ingestion_assets_tests.store import rows

Ingest: TypeAlias = Callable[..., Result]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def ingest(database: str) -> Ingest:
    """The command, on the test's database, its output 80 columns wide."""
    environment = {"INGESTION_DATABASE_URL": database, "COLUMNS": "80", "TZ": "UTC"}
    return lambda *arguments: CliRunner().invoke(main, arguments, env=environment)


def _fill(connection: Connection, failures: int = 2) -> None:
    """Two partitions of `notes`, one of `wiki`; some chunks of notes/00 fail."""
    generation = rows.generation(connection)
    _, good = rows.store(connection, "good.md", ["one", "two", "three"], key="notes/01")
    rows.embed(connection, generation, good)
    _, bad = rows.store(connection, "bad.md", [f"bad {i}" for i in range(failures)])
    ledger.record(
        connection,
        generation,
        [
            Failed(
                c.chunk_id,
                c.content_hash,
                "PoisonTextError",
                f"NaN [{i}]{' of this text' * 20}",
                quarantined=i > 0,
            )
            for i, c in enumerate(bad)
        ],
    )
    rows.store(connection, "wait.md", ["waiting"], key="wiki/00")


def _days_since_it_was_read() -> int:
    return (datetime.now(UTC) - datetime(2026, 1, 3, tzinfo=UTC)).days


def _cells(result: Result) -> list[list[str]]:
    return [line.split() for line in result.stdout.splitlines()]


def test_sources_are_summed_up(ingest, connection):
    _fill(connection)
    result = ingest("status")
    assert result.exit_code == 0
    headline, _, _, *lines = _cells(result)
    assert " ".join(headline) == "Generation 1 (active): m, 4 dimensions"
    assert lines == [
        ["notes", "2", "5", "3", "0", "0", "2"],
        ["wiki", "1", "1", "0", "1", "0", "0", str(_days_since_it_was_read()), "d"],
    ]
    assert "ingest status --failed" in result.stderr


def test_a_source_is_shown_by_partition(ingest, connection):
    _fill(connection)
    result = ingest("status", "notes")
    assert _cells(result)[3:] == [
        ["notes/00", "1", "2", "0", "0", "0", "2"],
        ["notes/01", "1", "3", "3", "0", "0", "0"],
    ]
    assert "ingest status notes --failed" in result.stderr


def test_nothing_of_a_large_table_is_cut_at_80_columns(capsys):
    waiting = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    large = PartitionStatus(
        "handbook", "handbook/1023",
        250_000, 9_000_000, 8_000_000, 890_000, 10_000, 100_000, waiting, waiting,
    )  # fmt: skip
    Console(width=80).print(_table([large], by_partition=True))
    *header, line = capsys.readouterr().out.splitlines()
    assert len(header) == 2
    assert "…" not in "".join([*header, line])
    assert line.split()[:7] == [
        "handbook/1023", "250,000", "9,000,000", "8,000,000", "890,000", "10,000", "100,000",
    ]  # fmt: skip


def test_the_overview_is_available_as_json(ingest, connection):
    _fill(connection)
    answer = json.loads(ingest("status", "wiki", "--json").stdout)
    assert [(g["model"], g["status"]) for g in answer["generations"]] == [("m", "active")]
    (partition,) = answer["partitions"]
    assert partition.pop("oldest_pending").startswith("2026-01-03")
    assert partition == {
        "source": "wiki", "partition_key": "wiki/00",
        "documents": 1, "chunks": 1, "embedded": 0, "pending": 1, "processing": 0, "failed": 0,
        "last_run": None,
    }  # fmt: skip


def test_failures_come_with_their_reason_and_the_remedy(ingest, connection):
    _fill(connection)
    result = ingest("status", "--failed")
    assert result.exit_code == 0
    first, second = result.stdout.split("notes/bad.md")[1:]
    assert "PoisonTextError: NaN [0]" in first
    assert "to be retried after 1 attempt, 20" in first
    assert "PoisonTextError: NaN [1]" in second
    assert "quarantined after 1 attempt, 20" in second
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "ingest run --retry-failed" in result.stderr
    assert "ingest run notes --retry-failed" in ingest("status", "notes", "--failed").stderr


def test_failures_of_another_source_are_not_shown(ingest, connection):
    _fill(connection)
    result = ingest("status", "wiki", "--failed")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no text has failed" in result.stderr


def test_a_long_list_of_failures_says_that_it_is_cut(ingest, connection):
    _fill(connection, failures=60)
    result = ingest("status", "--failed")
    assert result.stdout.count("notes/bad.md") == 50
    assert "--json lists all" in result.stderr
    assert len(json.loads(ingest("status", "--failed", "--json").stdout)["texts"]) == 60


def test_an_empty_store_is_told_what_to_do(ingest):
    result = ingest("status")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "ingest run" in result.stderr


@pytest.mark.parametrize("options", [[], ["--failed"], ["--json"]])
def test_an_unknown_source_is_named_with_those_that_are_stored(ingest, connection, options):
    _fill(connection)
    result = ingest("status", "nots", *options)
    assert result.exit_code == 2
    assert "'nots'; stored are: notes, wiki" in result.stderr


def test_documents_that_could_not_be_read_are_listed_until_they_can(ingest, connection):
    _fill(connection, failures=1)
    looks.record(
        connection, "notes/00", [("big.md", "SourceError", "has 30000000 bytes, too many")]
    )
    result = ingest("status", "notes", "--failed")
    assert result.stdout.index("notes/big.md\n  SourceError: has") < result.stdout.index(
        "notes/bad"
    )
    assert "Read the documents again, once they can be read:  ingest run notes" in result.stderr
    assert ingest("status", "wiki", "--failed").stdout == ""
    looks.record(connection, "notes/00", [])
    assert "big.md" not in ingest("status", "--failed").stdout


def test_the_last_run_is_when_a_partition_was_looked_at(ingest, connection):
    _fill(connection)
    looks.record(connection, "notes/01", [])
    assert [line[-2:] for line in _cells(ingest("status", "notes"))[3:]] == [["0", "2"], ["0", "s"]]
    assert _cells(ingest("status"))[3][-2:] == ["0", "s"]


def test_freshness_is_shown_and_available_as_json(ingest, connection):
    _fill(connection)
    assert "searchable after" not in ingest("status").stdout
    connection.execute("UPDATE ingestion.documents SET ingested_at = now(), modified_at = now()")
    connection.execute(
        "UPDATE ingestion.embeddings_1 SET embedded_at = now() + interval '90 seconds'"
    )
    connection.execute("UPDATE ingestion.generations SET created_at = now() - interval '1 hour'")
    line = next(line for line in _cells(ingest("status")) if line[:2] == ["notes", "24h"])
    assert line == ["notes", "24h", "1", *["1", "min"] * 4]
    day, week = json.loads(ingest("status", "notes", "--json").stdout)["freshness"]
    assert (day["window"], week["window"], week["documents"]) == ("24h", "7d", 1)
    assert json.loads(ingest("status", "wiki", "--json").stdout)["freshness"] == []
