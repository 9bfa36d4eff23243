from pathlib import Path

import dagster as dg

from ingestion_assets.defs.partitions import register
from ingestion_assets.defs.resources import CatalogResource
from ingestion_assets.defs.sensors import sources_listed


def test_partitions_of_new_sources_are_registered_once(folder: Path) -> None:
    catalog = CatalogResource(path=str(folder.parent / "sources.yaml"))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance, resources={"catalog": catalog})
        first = sources_listed(context)
        assert isinstance(first, dg.SensorResult)
        [request] = first.dynamic_partitions_requests or ()
        assert request.partition_keys == ["notes/00", "notes/01"]
        register(instance, request.partition_keys)
        assert isinstance(sources_listed(context), dg.SkipReason)
