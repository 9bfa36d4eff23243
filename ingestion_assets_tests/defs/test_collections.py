"""The collections as an asset, after real runs."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from ingestion_assets.defs import build
from ingestion_assets.settings import Settings
from ingestion_assets_tests.defs.conftest import Materialize


def test_the_asset_writes_what_changed_and_says_so(
    materialize: Materialize, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    for key in ("notes/00", "notes/01"):
        assert materialize(key=key).success
    first, second = (_export(materialize) for _ in range(2))
    assert (first["dagster/row_count"], first["files_written"], first["missing"]) == (12, 2, 0)
    assert (second["files_written"], second["files_unchanged"], second["bytes_written"]) == (
        0, 2, 0,
    )  # fmt: skip
    frame = pd.read_parquet("collections/uncategorised/uncategorised.parquet")
    assert set(frame["uri"]) == {f"{n}.md" for n in range(6)}


def _export(materialize: Materialize) -> dict[str, float]:
    result = materialize(key=None, selection="collections")
    [event] = [e for e in result.all_events if e.is_step_materialization]
    metadata = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items() if name != "folder"}  # type: ignore[misc]  # numbers


@pytest.mark.parametrize(("url", "on"), [(None, "STOPPED"), ("s3://bucket", "RUNNING")])
def test_it_is_exported_each_night_where_it_is_said_where_to(url: str | None, on: str) -> None:
    project = build.definitions(Settings(collections_url=url))
    schedule = project.resolve_schedule_def("nightly_collections")
    assert schedule.default_status == dg.DefaultScheduleStatus[on]
