"""Settings in, Dagster's definitions out."""

import dagster as dg

from ingestion_assets.defs.assets import chunks, embeddings, sources
from ingestion_assets.defs.checks import every_text_is_embedded
from ingestion_assets.defs.io_manager import PgvectorIOManager
from ingestion_assets.defs.jobs import ingest_job
from ingestion_assets.defs.resources import (
    CatalogResource,
    ChunkerResource,
    OllamaResource,
    StoreResource,
)
from ingestion_assets.defs.sensors import sources_listed
from ingestion_assets.settings import Settings


def definitions(settings: Settings) -> dg.Definitions:
    """Assets, jobs and resources; secrets stay in the environment, the UI shows their names."""
    store = StoreResource(
        database_url=dg.EnvVar("INGESTION_DATABASE_URL") if settings.database_url else None
    )
    return dg.Definitions(
        assets=[sources, chunks, embeddings],
        asset_checks=[every_text_is_embedded],
        jobs=[ingest_job],
        sensors=[sources_listed],
        resources={
            "catalog": CatalogResource(path=str(settings.sources.resolve())),
            "store": store,
            "chunking": ChunkerResource(
                model=settings.model,
                max_tokens=settings.chunk_tokens,
                overlap=settings.chunk_overlap,
            ),
            "ollama": OllamaResource(
                hosts=list(settings.ollama_hosts) or [h for h in [settings.ollama_host] if h],
                api_key=dg.EnvVar("OLLAMA_API_KEY") if settings.ollama_api_key else None,
                model=settings.model,
                workers=min(settings.workers, settings.max_workers),
                max_in_flight=settings.max_in_flight,
                batch_size=settings.batch_size,
                retries=settings.batch_retries,
                timeout=settings.timeout,
                breaker_failures=settings.breaker_failures,
                breaker_seconds=settings.breaker_seconds,
                deadline=settings.deadline,
                auto_pull=settings.auto_pull,
            ),
            "pgvector": PgvectorIOManager(store=store),
        },
        executor=dg.in_process_executor,
    )
