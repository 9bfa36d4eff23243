from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.defs import build
from ingestion_assets.defs.partitions import register
from ingestion_assets.settings import Settings

KEYS = ["notes/00", "notes/01"]


def _evaluate(settings: Settings, instance: dg.DagsterInstance, cursor: Any) -> Any:
    """A tick of the automation, with the definitions of some settings."""
    return dg.evaluate_automation_conditions(
        build.definitions(settings),
        instance,
        asset_selection=dg.AssetSelection.groups("ingestion"),
        cursor=cursor,
    )


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({}, set()),
        ({"chunk_tokens": 100}, {"chunks", "embeddings"}),
        ({"model": "nomic-embed-text"}, {"chunks", "embeddings"}),
        ({"workers": 7}, set()),
    ],
    ids=["nothing", "chunker", "model", "speed"],
)
def test_a_change_of_chunker_or_model_redoes_what_was_made_before(
    change: dict[str, object], redone: set[str], folder: Path, database: str
) -> None:
    settings = Settings(database_url=database, sources=folder.parent / "sources.yaml")
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, KEYS)
        _report(instance, "notes/00")
        before = _evaluate(settings, instance, None)
        assert before.total_requested == 0
        changed = replace(settings, **change)  # type: ignore[arg-type]
        after = _evaluate(changed, instance, before.cursor)
        for asset in ("chunks", "embeddings"):
            asked = after.get_requested_partitions(dg.AssetKey(asset))
            assert asked == ({"notes/00"} if asset in redone else set())
        again = _evaluate(changed, instance, after.cursor)
        assert again.total_requested == 0


def _report(instance: dg.DagsterInstance, key: str) -> None:
    """Record that a partition was materialized."""
    for asset in ("sources", "chunks", "embeddings"):
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))


@pytest.mark.parametrize(("hours", "seconds"), [(26.0, 26 * 3600), (0.01, 60)])
def test_freshness_is_promised_of_what_is_read_and_of_what_is_found(
    hours: float, seconds: int
) -> None:
    specs = build.definitions(Settings(fresh_hours=hours)).resolve_all_asset_specs()
    promised = {spec.key.to_user_string(): spec.freshness_policy for spec in specs}
    window = timedelta(seconds=seconds)
    policy = dg.FreshnessPolicy.time_window(fail_window=window)
    assert promised["sources"] == promised["embeddings"] == policy
