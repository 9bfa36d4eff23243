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

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=[sources, chunks, embeddings],
    description="Brings one partition up to date: documents, then chunks, then vectors.",
)

embed_job = dg.define_asset_job(
    "embed_job",
    selection=[embeddings],
    description="Embeds what waits in one partition; no document is read.",
)
