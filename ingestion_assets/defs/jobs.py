"""Jobs: one run takes one partition through all three assets."""

import dagster as dg

from ingestion_assets.defs.assets import chunks, embeddings, sources

ingest_job = dg.define_asset_job(
    "ingest_job",
    selection=[sources, chunks, embeddings],
    description="Brings one partition up to date: documents, then chunks, then vectors.",
)
