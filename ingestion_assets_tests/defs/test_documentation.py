import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.store.connection import connect
from ingestion_assets_tests.defs.conftest import Materialize

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTENDING = ROOT / "docs" / "extending.md"


def _blocks(page: Path, language: str) -> list[str]:
    pattern = rf"^```{language}\n(.*?)^```"
    return re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)


EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(_blocks(page, "python"))
    if "@dg.asset" in code
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_asset_works(code: str, materialize: Materialize) -> None:
    names: dict[str, Any] = {}
    exec(code, names)
    assets = [value for value in names.values() if isinstance(value, dg.AssetsDefinition)]
    assert len(assets) == 1
    assert len(code.splitlines()) < 20
    assert materialize(*assets).success
    if defs := names.get("defs"):
        assert defs().resolve_asset_graph().has(assets[0].key)


def test_example_source_is_ingested(
    folder: Path, database: str, materialize: Materialize, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = [code for code in _blocks(EXTENDING, "python") if "Record" in code]
    [entry] = _blocks(EXTENDING, "yaml")
    assert len(code.splitlines()) < 20
    project = folder.parent
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (project / "helpdesk.py").write_text(code)
    (project / "sources.yaml").write_text(entry.replace("name: helpdesk", "name: notes"))
    with closing(sqlite3.connect("helpdesk.db")) as tickets, tickets:
        tickets.execute("CREATE TABLE tickets (number, subject, body, changed)")
        ticket = "INSERT INTO tickets VALUES (?, ?, 'It is broken.', '2024-01-31T12:00:00Z')"
        tickets.executemany(ticket, [(1, "Printer"), (2, "Door")])
    assert materialize().success
    assert _embedded(database) == {("tickets/1", "Printer"), ("tickets/2", "Door")}
    with closing(sqlite3.connect("helpdesk.db")) as tickets, tickets:
        tickets.execute("DELETE FROM tickets WHERE number = 1")
    assert materialize().success
    assert _embedded(database) == {("tickets/2", "Door")}


def _embedded(database: str) -> set[tuple[str, str]]:
    """Uri and title of every document that has a vector."""
    with connect(database) as connection:
        rows = connection.execute(
            "SELECT uri, title FROM ingestion.embeddings JOIN ingestion.chunks USING (chunk_id)"
            " JOIN ingestion.documents USING (document_id)"
        )
        return {(uri, title) for uri, title in rows}


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
