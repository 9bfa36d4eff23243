"""Settings in, Dagster's definitions out."""

import dagster as dg

from ingestion_assets.defs.assets import chunks, embeddings, sources
from ingestion_assets.defs.attached import attached_assets, attached_sensor
from ingestion_assets.defs.automation import promised, stale_partitions, versioned
from ingestion_assets.defs.checks import (
    LimitsResource,
    chunks_are_in_place,
    embeddings_audit,
    every_partition_is_fresh,
)
from ingestion_assets.defs.collections import (
    CollectionsResource,
    collections,
    collections_job,
    nightly_collections,
)
from ingestion_assets.defs.doctor import daily_doctor, doctor_checks, doctor_job
from ingestion_assets.defs.fidelity import fidelity_job, fidelity_schedule, vector_store
from ingestion_assets.defs.generations import (
    generations_are_sound,
    generations_job,
    generations_tended,
    reembed_job,
)
from ingestion_assets.defs.housekeeping import cleanup_job
from ingestion_assets.defs.io_manager import PgvectorIOManager
from ingestion_assets.defs.jobs import embed_job, ingest_job
from ingestion_assets.defs.resources import (
    CatalogResource,
    ChunkerResource,
    ExtractionResource,
    OllamaResource,
    StoreResource,
)
from ingestion_assets.defs.schedules import hourly_retry, nightly_reconcile, weekly_cleanup
from ingestion_assets.defs.sensors import documents_changed, failures_named, ledger_sweep
from ingestion_assets.defs.vector_index import (
    daily_recall,
    recall_job,
    vector_index,
    vector_index_due,
    vector_index_job,
    vector_index_recall,
)
from ingestion_assets.documents.processes import Limits
from ingestion_assets.export import FOLDER
from ingestion_assets.settings import Settings


def definitions(settings: Settings) -> dg.Definitions:
    """Assets, jobs and resources; secrets stay in the environment, the UI shows their names."""
    store = StoreResource(
        database_url=dg.EnvVar("INGESTION_DATABASE_URL") if settings.database_url else None,
        grace_days=settings.generation_grace,
    )
    limits = Limits.of(settings)
    attached = attached_assets(settings.database_url)
    return dg.Definitions(
        assets=[
            promised(sources, settings),
            versioned(chunks, settings),
            promised(versioned(embeddings, settings), settings),
            vector_index,
            collections,
            vector_store,
            *attached,
        ],
        asset_checks=[
            every_partition_is_fresh,
            chunks_are_in_place,
            embeddings_audit,
            generations_are_sound,
            vector_index_recall,
            *doctor_checks,
        ],
        jobs=[
            ingest_job,
            embed_job,
            reembed_job,
            generations_job,
            vector_index_job,
            recall_job,
            collections_job,
            doctor_job,
            fidelity_job,
            cleanup_job,
        ],
        sensors=[
            documents_changed,
            ledger_sweep,
            failures_named,
            stale_partitions,
            vector_index_due,
        ]
        + ([attached_sensor(attached)] if attached else []),
        schedules=[
            nightly_reconcile,
            hourly_retry,
            weekly_cleanup,
            nightly_collections(settings),
            daily_doctor,
            fidelity_schedule,
            generations_tended,
            daily_recall,
        ],
        resources={
            "catalog": CatalogResource(path=str(settings.sources.resolve())),
            "extraction": ExtractionResource(
                processes=limits.processes, seconds=limits.seconds, memory=limits.memory
            ),
            "store": store,
            "chunking": ChunkerResource(
                model=settings.model,
                max_tokens=settings.chunk_tokens,
                overlap=settings.chunk_overlap,
            ),
            "ollama": OllamaResource(
                store=store,
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
                cpu_retry=settings.cpu_retry,
            ),
            "collecting": CollectionsResource(
                url=settings.collections_url or FOLDER,
                formats=list(settings.collections_formats),
                include=[list(globs) for globs in settings.collections_include],
            ),
            "limits": LimitsResource(
                quarantine_share=settings.quarantine_share,
                fresh_hours=settings.fresh_hours,
                recall_target=settings.recall_target,
            ),
            "pgvector": PgvectorIOManager(store=store),
        },
        executor=dg.in_process_executor,
    )
