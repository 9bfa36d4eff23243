"""Counts of runs add up, whoever adds them, and go with their source."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from ingestion_assets.metrics import Figure
from ingestion_assets.store import removal, sources
from ingestion_assets.store.connection import connect
from ingestion_assets.store.counters import add, counted
from ingestion_assets.store.figures import DatabaseFigures, read
from ingestion_assets_tests.store import rows

TEXTS = Figure("ingestion_texts_total", ("notes", "m", "embedded"), 2)
REJECTED = Figure("ingestion_texts_total", ("notes", "m", "rejected"), 1)


def test_runs_that_end_at_once_lose_no_count(connection, database):
    sources.register(connection, "notes", "files", 1, {})

    def one(n: int) -> None:
        with connect(database) as own:
            for _ in range(20):
                add(own, "notes", [TEXTS, REJECTED][:: 1 if n % 2 else -1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert [(f.labels, f.value) for f in counted(connection)] == [
        (("notes", "m", "embedded"), 160),
        (("notes", "m", "rejected"), 80),
    ]


def test_what_is_counted_of_a_source_goes_with_it(connection):
    sources.register(connection, "notes", "files", 1, {})
    add(connection, "notes", [TEXTS])
    add(connection, "unknown", [TEXTS])
    assert counted(connection) == [TEXTS]
    removal.remove(connection, "notes")
    assert counted(connection) == []


def test_a_source_that_waits_for_nothing_says_so(connection, database):
    rows.generation(connection)
    rows.store(connection, "a.md", ["one"])
    sources.register(connection, "idle", "files", 1, {})
    found = {(f.name, f.labels): f.value for f in read(database)}
    assert found["ingestion_texts_waiting", ("notes", "pending")] == 1
    assert found["ingestion_texts_waiting", ("idle", "pending")] == 0
    assert found["ingestion_oldest_pending_seconds", ("idle",)] == 0
    assert found["ingestion_unread_documents", ("notes",)] == 0
    assert found["ingestion_database_size_bytes", ()] > 1e6


def test_a_question_that_takes_too_long_costs_its_own_figures_only(connection, database):
    sources.register(connection, "notes", "files", 1, {})
    add(connection, "notes", [TEXTS])
    with connection.transaction():
        connection.execute("LOCK TABLE ingestion.counters")
        names = {figure.name for figure in read(database)}
    assert "ingestion_database_size_bytes" in names
    assert "ingestion_unread_documents" in names
    assert TEXTS.name not in names


def test_figures_of_a_database_that_is_away_are_absent():
    figures = DatabaseFigures("postgresql://nobody@127.0.0.1:1/none")
    asyncio.run(figures.refresh())
    assert list(figures.collect()) == []
