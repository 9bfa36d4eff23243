"""What Dagster loads, and nothing else."""

import dagster as dg

from ingestion_assets.defs.assets import chunks, embeddings, sources
from ingestion_assets.defs.configured import resources
from ingestion_assets.defs.jobs import ingest_job

defs = dg.Definitions(
    assets=[sources, chunks, embeddings],
    jobs=[ingest_job],
    resources=resources,
    executor=dg.in_process_executor,
)
