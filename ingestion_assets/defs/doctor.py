"""What `ingest doctor` finds, as checks of all tables together, and the job that runs them."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.fidelity import embeddings_fidelity, result, vector_store
from ingestion_assets.defs.partitions import partitions
from ingestion_assets.defs.resources import (
    CatalogResource,
    ChunkerResource,
    OllamaResource,
    StoreResource,
)
from ingestion_assets.defs.sensors import partitions_under_way
from ingestion_assets.doctor import documents, examination, reembedding
from ingestion_assets.doctor import partitions as keys
from ingestion_assets.doctor.documents import SourcesCheck
from ingestion_assets.store import audit
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import Scope
from ingestion_assets.store.generations import active

SAMPLE = 200  # vectors that are compared with their texts


@dg.asset_check(
    asset=vector_store.key,
    description="Every file has its document and every document its chunks, as they are now, in"
    " the partition they belong to, which Dagster knows.",
)
@reported()
def documents_match_sources(
    context: dg.AssetCheckExecutionContext,
    catalog: CatalogResource,
    store: StoreResource,
    chunking: ChunkerResource,
) -> dg.AssetCheckResult:
    """What a run would change, of all partitions that none is at work on."""
    listed, fingerprint = catalog.sources(), chunking.fingerprint
    known = context.instance.get_dynamic_partitions(partitions.name or "")
    with store.connect() as connection, _snapshot(context.instance, connection) as scope:
        found = SourcesCheck(listed, scope.busy, fingerprint).compare(connection).findings()
        found += keys.compare(connection, listed, known, Scope()).findings()
        found += documents.unlisted(connection, listed)
    return result("documents_match_sources", found, dg.AssetCheckSeverity.WARN)


@dg.asset_check(
    asset=vector_store.key,
    description="No chunk, vector or row of the ledger is missing, orphaned, stale, doubled or"
    " dead; functions, triggers, indexes and attached tables are as they should be.",
)
@reported()
def tables_are_whole(
    context: dg.AssetCheckExecutionContext, store: StoreResource
) -> dg.AssetCheckResult:
    """All that `ingest doctor` finds in the tables alone, every row looked at."""
    with store.connect() as connection, _snapshot(context.instance, connection) as scope:
        found = examination.examine(connection, scope)
    return result("tables_are_whole", found, dg.AssetCheckSeverity.ERROR)


@dg.asset_check(
    asset=vector_store.key,
    description=f"{SAMPLE} vectors at random are those that the model gives their texts now.",
)
@reported()
def vectors_match_texts(store: StoreResource, ollama: OllamaResource) -> dg.AssetCheckResult:
    """A sample, embedded once more."""
    with store.connect() as connection:
        generation = active(connection)
        if generation is None:
            return result("vectors_match_texts", [], dg.AssetCheckSeverity.ERROR)
        sampled = reembedding.sample(connection, generation, Scope(), SAMPLE)
    wrong = ollama.wrong(generation, sampled) if sampled else []
    found = reembedding.findings(wrong, len(sampled))
    return result("vectors_match_texts", found, dg.AssetCheckSeverity.ERROR, sampled=len(sampled))


doctor_checks = [
    documents_match_sources,
    tables_are_whole,
    vectors_match_texts,
    embeddings_fidelity,
]

doctor_job = dg.define_asset_job(
    "doctor_job",
    selection=dg.AssetSelection.checks(*doctor_checks),
    description="Compares everything that is stored, as `ingest doctor` does.",
)

daily_doctor = dg.ScheduleDefinition(
    name="daily_doctor",
    job=doctor_job,
    cron_schedule="30 5 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning, after the night's runs, looks for what is missing or damaged.",
)


@contextmanager
def _snapshot(instance: dg.DagsterInstance, connection: Connection) -> Iterator[Scope]:
    """One moment, and the partitions of runs that are at work then, ended just now or not."""
    before = partitions_under_way(instance)
    with audit.snapshot(connection):
        connection.execute("SELECT")
        yield Scope(busy=sorted(before | partitions_under_way(instance)))
