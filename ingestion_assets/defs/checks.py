"""Asset checks: what a run that succeeded has left to look at."""

import dagster as dg

from ingestion_assets.defs.assets import embeddings
from ingestion_assets.defs.resources import StoreResource
from ingestion_assets.store import status

_LISTED = 50  # a check's result is stored for good: keep it small


@dg.asset_check(asset=embeddings)
def every_text_is_embedded(store: StoreResource) -> dg.AssetCheckResult:
    """No chunk of any partition has failed or is in quarantine; lists those that are, and why."""
    failed = store.call(status.failures, None, _LISTED)
    records = [
        dg.TableRecord(
            {"document": f"{f.source}/{f.uri}", "heading": f.heading, "why": f.error_class}
        )
        for f in failed
    ]
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"failed": dg.MetadataValue.table(records)} if records else {},
    )
