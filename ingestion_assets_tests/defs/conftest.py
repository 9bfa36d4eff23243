"""A source on disk, its definitions over real Postgres, and an instance of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.defs import build, servers
from ingestion_assets.defs.partitions import register
from ingestion_assets.settings import Settings
from ingestion_assets_tests.services.faulty_ollama import Double, running

Materialize = Callable[..., dg.ExecuteInProcessResult]
_OF_ALL = dg.AssetSelection.groups("collections") | dg.AssetSelection.assets("vector_index")
PARTITIONED = dg.AssetSelection.all() - _OF_ALL


@pytest.fixture(autouse=True)
def _forget_servers() -> None:
    """A process finds its servers once; each test has its own."""
    servers.database_url.cache_clear()
    servers.ollama_host.cache_clear()


@pytest.fixture(scope="session")
def double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def ollama(double: Double) -> Double:
    """The double, with its counts at zero and no faults."""
    double.reset()
    return double


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The root of the source `notes`, in two buckets."""
    (tmp_path / "sources.yaml").write_text("sources:\n  - {name: notes, root: notes, buckets: 2}\n")
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.md").write_text(
            f"# Note {n}\n\n## One\n\nFirst {n}.\n\n## Two\n\nSecond {n}.\n"
        )
    return folder


@pytest.fixture
def materialize(
    folder: Path, database: str, ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Materialize]:
    """Materialize one partition: the three assets, and those that are given."""
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    settings = Settings(
        database_url=database, ollama_host=ollama.url, sources=folder.parent / "sources.yaml"
    )
    project = build.definitions(settings)

    assets: list[Any] = list(project.assets or ())
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, ["notes/00", "notes/01", "other/00"])

        def run(
            *extra: dg.AssetsDefinition,
            key: str | None = "notes/00",
            selection: Any = PARTITIONED,
        ) -> dg.ExecuteInProcessResult:
            return dg.materialize(
                [*assets, *extra],
                selection=selection,
                partition_key=key,
                instance=instance,
                resources=project.resources,
                raise_on_error=False,
            )

        yield run
