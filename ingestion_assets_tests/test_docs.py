"""The documentation against the code: commands, targets, variables, errors, links, the site."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from psycopg.conninfo import make_conninfo

from ingestion_assets import errors
from ingestion_assets.defs.storage import storage_url
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests import options
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.store import rows

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
# Of Ollama's own server, of Dagster, and of this project outside of its settings.
_FOREIGN = re.compile(
    r"OLLAMA_(NUM_PARALLEL|MAX_QUEUE|KEEP_ALIVE|MAX_LOADED_MODELS|FLASH_ATTENTION|TEST_HOST)"
    r"|INGESTION_TEST_DATABASE_URL|INGEST_WORKER_PORT"
)


def _prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs both make them of these."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.replace("`", "").lower()) for heading in headings)
    return {re.sub(r"[\s]", "-", heading.strip()) for heading in plain}


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(_leaves(navigation)) == sorted(path.name for path in DOCS.glob("*.md"))


def _leaves(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _leaves(inner)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_pages_and_headings_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in _anchors(found), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_variables_are_settings(page: Path) -> None:
    named = set(re.findall(r"\b(?:INGEST|INGESTION|OLLAMA)_[A-Z_]*[A-Z]\b", page.read_text()))
    known = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", Settings.__doc__ or ""))
    assert {name for name in named - known if not _FOREIGN.fullmatch(name)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_targets_of_make_exist(page: Path) -> None:
    typed = re.findall(r"^\s*\$ make (\w+)|`make (\w+)`", page.read_text(), re.MULTILINE)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {a or b for a, b in typed} <= set(targets)


def test_options_are_those_of_the_commands() -> None:
    # In a process of its own: click keeps the help option that a command was first asked for.
    made = [sys.executable, "-m", options.__name__]
    page = subprocess.run(made, capture_output=True, text=True, check=True).stdout
    assert (DOCS / "options.md").read_text() == page, "run `make docs`"


def test_every_error_has_its_remedy_and_nothing_else_is_called_an_error() -> None:
    classes = {
        name
        for name, found in inspect.getmembers(errors, inspect.isclass)
        if issubclass(found, errors.IngestionError)
    }
    page = (DOCS / "troubleshooting.md").read_text()
    listed = re.findall(r"^\| `(\w+Error)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(classes)
    assert set(re.findall(r"`(\w+Error)`", page)) == classes


def test_the_roles_of_the_page_on_security_have_enough_rights_and_no_more(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster_postgres import DagsterPostgresStorage

    section = (DOCS / "security.md").read_text().partition("## Postgres")[2]
    owning, reading = re.findall(r"^```sql\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    owner, reader = (f"{name}_{uuid4().hex[:8]}" for name in ("owner", "reader"))
    with fresh_database(postgres) as url, connect(url) as superuser:
        database = superuser.info.dbname
        given = re.sub(r"(ROLE|TO) ingestion", rf"\1 {owner}", owning)
        superuser.execute(given.replace("DATABASE rag", f"DATABASE {database}"))
        superuser.execute(f"CREATE ROLE {reader} LOGIN")
        try:
            monkeypatch.setenv("INGESTION_DATABASE_URL", url.replace("postgres@", f"{owner}@"))
            DagsterPostgresStorage(storage_url())
            assert migrate(make_conninfo(url, user=owner))
            with connect(make_conninfo(url, user=owner)) as connection:
                generation = rows.generation(connection)
                _, chunks = rows.store(connection, "a.md", ["one", "two"])
                rows.embed(connection, generation, chunks)
                create, *grants = reading.split(";")
                assert create == "CREATE ROLE reader LOGIN"
                connection.execute(";".join(grants).replace("TO reader", f"TO {reader}"))
            with connect(make_conninfo(url, user=reader)) as connection:
                found = connection.execute("SELECT count(*) FROM ingestion.embeddings")
                assert found.fetchone() == (2,)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("DELETE FROM ingestion.chunks")
        finally:
            for role in (owner, reader):
                superuser.execute(f"DROP OWNED BY {role} CASCADE")
                superuser.execute(f"DROP ROLE {role}")
