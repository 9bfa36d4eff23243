"""Real servers for the tests: Postgres with pgvector, and the built-in embedder."""

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.local.services import builtin_embedder

pytest.register_assert_rewrite("ingestion_assets_tests.contract")


def pytest_configure(config: pytest.Config) -> None:
    """Let the many processes that the tests start compile a module once.

    Where writing bytecode is switched off, as in many containers, each would compile all of Dagster
    again: that doubles the time of the suite.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ["PYTHONPYCACHEPREFIX"] = str(config.rootpath / ".pytest_cache" / "bytecode")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server on which the tests may create databases."""
    given = os.environ.get("INGESTION_TEST_DATABASE_URL")
    if given:
        yield given
    else:
        with embedded_postgres(tmp_path_factory.mktemp("state")) as server:
            _forgo_durability(server.address)
            yield server.address


@pytest.fixture(scope="session")
def template(postgres: str) -> Iterator[str]:
    """Name of a migrated database, to be copied."""
    name = f"template_{uuid4().hex}"
    _create(postgres, name, "template0")
    migrate = _migrate()
    if migrate is not None:
        migrate(_url(postgres, name))
    yield name
    _drop(postgres, name)


@pytest.fixture
def database(postgres: str, template: str) -> Iterator[str]:
    """URL of a fresh, migrated database of the test's own."""
    with fresh_database(postgres, template) as url:
        yield url


@contextmanager
def fresh_database(server: str, template: str = "template0") -> Iterator[str]:
    """URL of a database that lives as long as the block; an empty one, or a template's copy."""
    name = f"test_{uuid4().hex}"
    _create(server, name, template)
    yield _url(server, name)
    _drop(server, name)


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a running built-in embedder."""
    with builtin_embedder(tmp_path_factory.mktemp("state")) as server:
        yield server.address


def _migrate() -> Callable[[str], None] | None:
    if not Path(__file__).parents[1].joinpath("ingestion_assets/store/schema.py").exists():
        return None
    migrate: Callable[[str], None] = importlib.import_module(
        "ingestion_assets.store.schema"
    ).migrate
    return migrate


def _forgo_durability(server: str) -> None:
    """Creating databases waits for the disk; tests that kill processes do not need it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


def _create(server: str, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _url(server: str, name: str) -> str:
    return urlsplit(server)._replace(path=f"/{name}").geturl()
