from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from ingestion_assets.defs import attached, build
from ingestion_assets.defs.resources import StoreResource
from ingestion_assets.settings import Settings
from ingestion_assets.store.attached import Request, attach
from ingestion_assets.store.attached.wanted import Wanted
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets_tests.services.faulty_ollama import Double

NOTES = """
CREATE TABLE notes (id int PRIMARY KEY, title text NOT NULL);
INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (3, 'two'), (4, '')
"""

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        connection.execute(NOTES)
        yield connection


@pytest.fixture
def settings(
    folder: Path, database: str, ollama: Double, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("INGESTION_DATABASE_URL", database)
    return Settings(
        database_url=database, ollama_host=ollama.url, sources=folder.parent / "sources.yaml"
    )


def _attach(connection: Connection, ollama: Double, digest: str = "", **given: Any) -> None:
    wanted = Wanted(columns=("title",))
    [model] = httpx.get(f"{ollama.url}/api/tags").json()["models"]
    digest = digest or model["digest"]
    attach(connection, Request("notes", wanted, "all-minilm", digest, 384, prefix="", **given))


def _run(settings: Settings, name: str = "notes", **config: Any) -> dg.ExecuteInProcessResult:
    project = build.definitions(settings)
    assets: list[Any] = list(project.assets or ())
    key = dg.AssetKey(["attached", name])
    return dg.materialize(
        assets,
        selection=[key],
        resources=project.resources,
        run_config={"ops": {f"attached__{name}": {"config": config}}},
        raise_on_error=False,
    )


def _figures(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [event] = result.get_asset_materialization_events()
    return {k: v.value for k, v in event.materialization.metadata.items()}


def test_a_materialization_embeds_what_waits_in_the_table(
    connection: Connection, settings: Settings, ollama: Double
) -> None:
    _attach(connection, ollama)
    figures = _figures(_run(settings))
    rows = {k: figures[k] for k in ("completed", "skipped", "pending", "failed", "embedded")}
    assert rows == {"completed": 3, "skipped": 1, "pending": 0, "failed": 0, "embedded": 3}
    assert figures["dagster/row_count"] == 4
    bare = connection.execute("SELECT id FROM notes WHERE embedding IS NULL").fetchall()
    assert bare == [(4,)]
    connection.execute("UPDATE notes SET title = 'new' WHERE id = 1")
    assert _figures(_run(settings))["texts_sent"] == 1


def test_equal_texts_have_each_their_vector(
    connection: Connection, settings: Settings, ollama: Double
) -> None:
    _attach(connection, ollama)
    _run(settings)
    same = connection.execute(
        "SELECT count(*), count(DISTINCT embedding::text) FROM notes WHERE title = 'two'"
    ).fetchone()
    assert same == (2, 1)


def test_row_that_fails_is_named_and_tried_again_when_asked(
    connection: Connection, settings: Settings, ollama: Double
) -> None:
    _attach(connection, ollama)
    ollama.break_by({"fault": "F10", "match": "one"})
    result = _run(settings)
    assert result.success
    assert _figures(result)["failures"].records[0].data["key"] == "1"
    ollama.break_by()
    assert _figures(_run(settings))["failed"] == 1
    assert _figures(_run(settings, retry_failed=True))["failed"] == 0


def test_table_of_another_model_fails_with_the_remedy(
    connection: Connection, settings: Settings, ollama: Double
) -> None:
    _attach(connection, ollama, digest="other")
    result = _run(settings)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "detach it and attach it again" in str(failure.step_failure_data.user_failure_data)


def test_rows_that_become_documents_are_filed_and_embedded(
    connection: Connection, settings: Settings, ollama: Double
) -> None:
    _attach(connection, ollama, vector_column=None, status_column=None)
    figures = _figures(_run(settings))
    assert (figures["completed"], figures["embedded"], figures["reused"]) == (3, 2, 1)
    embedded = connection.execute("SELECT count(*) FROM ingestion.embeddings").fetchone()
    assert embedded == (3,)


def test_names_of_any_attachment_are_assets(
    connection: Connection, settings: Settings, ollama: Double
) -> None:
    _attach(connection, ollama, name="app.my-notes")
    [asset] = attached.attached_assets(settings.database_url)
    assert asset.key == dg.AssetKey(["attached", "app.my-notes"])
    build.definitions(settings).resolve_all_job_defs()


@pytest.mark.parametrize("url", [None, "postgresql://127.0.0.1:1/nowhere", "not a url"])
def test_definitions_load_without_a_database(url: str | None, settings: Settings) -> None:
    assert attached.attached_assets(url) == []


def test_run_is_asked_for_when_rows_wait_and_only_once(
    connection: Connection, settings: Settings, ollama: Double
) -> None:
    _attach(connection, ollama)
    tables = attached.attached_assets(settings.database_url)
    sensor = attached.attached_sensor(tables)
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> list[dg.RunRequest]:
            store = StoreResource(database_url=settings.database_url)
            context = dg.build_sensor_context(instance, resources={"store": store})
            return list(sensor.evaluate_tick(context).run_requests or ())

        [request] = tick()
        assert request.asset_selection == [dg.AssetKey(["attached", "notes"])]
        connection.execute(
            "UPDATE ingestion.attached_rows SET enqueued_at = now() - interval '2 minutes'"
        )
        [asked] = tick()
        assert asked.run_key == tick()[0].run_key
        _run(settings)
        assert tick() == []
