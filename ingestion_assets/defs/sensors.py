"""Sensors: what Dagster notices by itself."""

import dagster as dg

from ingestion_assets.defs.partitions import partitions
from ingestion_assets.defs.resources import CatalogResource


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Registers the partitions of every source in sources.yaml.",
)
def sources_listed(
    context: dg.SensorEvaluationContext, catalog: CatalogResource
) -> dg.SensorResult | dg.SkipReason:
    """Register the partitions of sources that are new in sources.yaml."""
    known = set(context.instance.get_dynamic_partitions(partitions.name or ""))
    keys = [key for source in catalog.sources() for key in source.partition_keys()]
    new = [key for key in keys if key not in known]
    if not new:
        return dg.SkipReason(f"all {len(keys)} partitions of sources.yaml are registered")
    return dg.SensorResult(dynamic_partitions_requests=[partitions.build_add_request(new)])
