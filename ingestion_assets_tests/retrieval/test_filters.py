"""A filter keeps what fits it and nothing else, whatever it holds."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion_assets.changes import Changes
from ingestion_assets.retrieval.request import Filters, Search
from ingestion_assets.store import chunks, documents, sources
from ingestion_assets.store.connection import connect
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.retrieval.stored import Model, searching
from ingestion_assets_tests.store import rows

HOSTILE = "x'); DROP TABLE ingestion.chunks; --%s {k} \\"
DOCUMENTS: dict[str, dict[str, Any]] = {
    "guides/a.md": {"domain": "sales", "category": "guide", "metadata": {"lang": "en", "n": 1}},
    "guides/b_b.md": {"domain": "sales", "metadata": {"lang": ["en", "de"], "n": 2}},
    "notes/%.md": {"category": "note", "metadata": {"a": {"b": [1, 2], "c": None}, HOSTILE: True}},
    HOSTILE: {"domain": HOSTILE, "category": HOSTILE, "metadata": {"lang": HOSTILE}},
}


@pytest.fixture(scope="module")
def filled(postgres, template):
    with fresh_database(postgres, template) as database, connect(database) as connection:
        generation = rows.generation(connection)
        sources.register(connection, "notes", "files", 1, {})
        for n, (uri, changes) in enumerate(DOCUMENTS.items()):
            at = datetime(2026, 1, 1 + n, tzinfo=UTC)
            plain: dict[str, Any] = {
                "domain": None,
                "category": None,
                "metadata": {},
                "modified_at": at,
            }
            owner = replace(rows.document(uri, "word"), **(plain | changes))
            documents.write(connection, Changes([owner]))
            pieces = rows.split(owner, ["word"])
            chunks.write(connection, rows.batch(owner, new=pieces))
            rows.embed(connection, generation, pieces)
        yield database


A, B, C, D = DOCUMENTS


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, {A, B, C, D}),
        ({"source": "notes"}, {A, B, C, D}),
        ({"source": HOSTILE}, set()),
        ({"domain": "sales"}, {A, B}),
        ({"domain": ""}, set()),
        ({"domain": HOSTILE}, {D}),
        ({"category": "note"}, {C}),
        ({"domain": "sales", "category": "guide"}, {A}),
        ({"uri_prefix": "guides/"}, {A, B}),
        ({"uri_prefix": "guides/b_"}, {B}),
        ({"uri_prefix": "notes/%"}, {C}),
        ({"uri_prefix": "%"}, set()),
        ({"uri_prefix": HOSTILE}, {D}),
        ({"metadata": {"lang": "en"}}, {A, B}),
        ({"metadata": {"lang": ["en"]}}, {B}),
        ({"metadata": {"lang": "en", "n": 2}}, {B}),
        ({"metadata": {"n": "1"}}, set()),
        ({"metadata": {"a": {"b": [2]}}}, {C}),
        ({"metadata": {"a": {"c": None}}}, {C}),
        ({"metadata": {"absent": None}}, set()),
        ({"metadata": {HOSTILE: True}}, {C}),
        ({"metadata": {"lang": HOSTILE}}, {D}),
        ({"modified_after": datetime(2026, 1, 3, tzinfo=UTC)}, {C, D}),
        ({"modified_before": datetime(2026, 1, 3, tzinfo=UTC)}, {A, B}),
        (
            {
                "modified_after": datetime(2026, 1, 2, tzinfo=UTC),
                "modified_before": datetime(2026, 1, 3, tzinfo=UTC),
            },
            {B},
        ),
    ],
)
async def test_what_fits_is_found_by_every_method(filled, filters, found):
    async with searching(filled, Model()) as searcher:
        for method in ("vector", "text", "hybrid"):
            results = await searcher.search(
                Search("word", method=method, filters=Filters(**filters))
            )
            assert {hit.uri for hit in results.hits} == found
