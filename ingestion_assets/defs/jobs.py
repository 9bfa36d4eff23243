"""Jobs: one run takes one partition through all three assets."""

import dagster as dg

from ingestion_assets.defs.assets import chunks, embeddings, sources

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

# It counts everything, in every generation: once an hour is enough, and not for every partition.
COUNTED = dg.AssetCheckKey(embeddings.key, "generations_are_sound")
_NOT_COUNTED = dg.AssetSelection.checks(COUNTED)

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=dg.AssetSelection.assets(sources, chunks, embeddings) - _NOT_COUNTED,
    description="Brings one partition up to date: documents, then chunks, then vectors.",
)

embed_job = dg.define_asset_job(
    "embed_job",
    selection=dg.AssetSelection.assets(embeddings) - _NOT_COUNTED,
    description="Embeds what waits in one partition; no document is read.",
)
