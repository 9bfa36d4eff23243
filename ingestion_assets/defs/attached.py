"""Attached tables as assets: a materialization embeds all that waits in the table."""

import logging
from dataclasses import asdict
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from ingestion_assets.defs.assets import EMBEDDING_POOL, RETRIES
from ingestion_assets.defs.drain import drain
from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.filling import fillings
from ingestion_assets.defs.report import figures, table
from ingestion_assets.defs.resources import OllamaResource, StoreResource
from ingestion_assets.embedding import EmbeddingStream, Identity
from ingestion_assets.errors import ConfigError, IngestionError
from ingestion_assets.store import claims
from ingestion_assets.store.attached import AttachedQueue, Attachment, attachments, listing
from ingestion_assets.store.attached.attachment import attachment
from ingestion_assets.store.attached.due import due
from ingestion_assets.store.attached.filing import FilingQueue
from ingestion_assets.store.attached.writer import AttachedWriter
from ingestion_assets.store.connection import Connection, connect, partition_lock
from ingestion_assets.store.writers import EmbeddingsWriter

GROUP = "attached"
WAITED_SECONDS = 60.0  # that a row waits before a run is asked for; workers are faster

_PATIENCE = 2  # seconds for the database while definitions load
_PAGE = 1000  # rows

logger = logging.getLogger(__name__)


def attached_assets(database_url: str | None) -> list[dg.AssetsDefinition]:
    """An asset for each attached table, as far as the database answers at once.

    None if no database is named, is away, or was never migrated: what Dagster loads does not
    depend on it. Reloading the definitions looks again.
    """
    if database_url is None:
        return []
    timeout = f"{'&' if '?' in database_url else '?'}connect_timeout={_PATIENCE}"
    try:
        with connect(database_url + timeout) as connection:
            return [_asset(found) for found in attachments(connection) if found.table]
    except IngestionError as exc:
        logger.warning("Attached tables are not shown, reload the definitions to see them: %s", exc)
        return []


class AttachedConfig(dg.Config):
    """What a run embeds of an attached table."""

    retry_failed: bool = Field(
        default=False, description="Also what failed before, texts in quarantine included."
    )


def _asset(found: Attachment) -> dg.AssetsDefinition:
    where = f"column {found.vector_column!r}" if found.vector_column else "chunks and embeddings"

    @dg.asset(
        key=[GROUP, found.name],
        description=f"The table {found.title}, kept embedded by `ingest attach`: vectors go to its"
        f" {where}. A run embeds what waits; `ingest worker` does so within a second.",
        group_name=GROUP,
        owners=["team:ingestion"],
        kinds={"ollama", "pgvector", "postgres"},
        pool=EMBEDDING_POOL,
        retry_policy=RETRIES,
        metadata={
            "dagster/table_name": found.title,
            "model": found.model,
            "dimensions": found.dimensions,
        },
    )
    def kept_embedded(
        context: dg.AssetExecutionContext,
        config: AttachedConfig,
        store: StoreResource,
        ollama: OllamaResource,
    ) -> dg.MaterializeResult[None]:
        with reported():
            return _backfill(found.name, config, store, ollama)

    return kept_embedded


def attached_sensor(tables: list[dg.AssetsDefinition]) -> dg.SensorDefinition:
    """The sensor that does without a worker what a worker would do."""

    @dg.sensor(
        name="attached_rows_wait",
        target=tables,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Embeds attached tables whose rows wait though no worker is at work.",
    )
    def rows_wait(context: dg.SensorEvaluationContext, store: StoreResource) -> Any:
        shown = {asset.key.path[-1] for asset in tables}
        waiting = [w for w in store.call(due, WAITED_SECONDS) if w.name in shown]
        if not waiting:
            return dg.SkipReason(f"no row has waited longer than {WAITED_SECONDS:.0f} s")
        return [
            dg.RunRequest(
                run_key=f"{w.name}:{w.rows}:{w.newest.timestamp() if w.newest else 'first'}",
                asset_selection=[dg.AssetKey([GROUP, w.name])],
            )
            for w in waiting
        ]

    return rows_wait


def _backfill(
    name: str, config: AttachedConfig, store: StoreResource, ollama: OllamaResource
) -> dg.MaterializeResult[None]:
    """Embed all that waits in a table; what it did, and what the table holds now."""
    with store.connect() as connection, partition_lock(connection, f"{GROUP}/{name}"):
        found = attachment(connection, name)
        if found is None or found.table is None:
            raise ConfigError(f"{name!r} is not attached any more; reload the definitions")
        if config.retry_failed:
            listing.retry(connection, found)
        if found.vector_column is None:
            stream, counts = _file(connection, found, store, ollama)
        else:
            stream, counts = _fill(found, ollama.identify(found.model), store, ollama)
        rows = asdict(listing.counts(connection, found))
        failed = listing.failures(connection, found, limit=50)
    errors = ({"key": f.key, "error": f.error_class, "message": f.error} for f in failed)
    of = {"dagster/row_count": sum(rows.values()), **rows, **figures(stream), **counts}
    return dg.MaterializeResult(metadata={**of, **table("failures", errors)})


def _fill(
    found: Attachment, model: Identity, store: StoreResource, ollama: OllamaResource
) -> tuple[EmbeddingStream, dict[str, int]]:
    """Embed a table into its own columns."""
    if model.digest != found.digest:
        raise ConfigError(
            f"{found.title} was attached for {found.model} {found.digest[:12]}, and the server has"
            f" {model.digest[:12]}; detach it and attach it again"
        )
    queue = AttachedQueue(store.url(), found, f"run {GROUP}/{found.name}")
    writer = AttachedWriter(queue)
    stream = ollama.stream(model, writer.pages())
    return stream, ollama.run(drain(stream, writer, queue.renew))


def _file(
    connection: Connection,
    found: Attachment,
    store: StoreResource,
    ollama: OllamaResource,
) -> tuple[EmbeddingStream, dict[str, int]]:
    """Turn a table's rows into documents and chunks of ours, and embed these as all others are."""
    queue = FilingQueue(store.url(), found)
    queue.claim(_PAGE)
    while queue.depth().pending:
        queue.claim(_PAGE)
    key = f"{found.name}/00"
    work = fillings(store, ollama, key, only_failed=False, again=False)
    renew = partial(store.call, claims.renew, claims.run_owner(key))
    counts = []
    with partition_lock(connection, key):
        for part in work.parts:
            writer = EmbeddingsWriter(connection, key, part.generation)
            counts.append(ollama.run(drain(part.stream, writer, renew)))
    work.finish()
    return work.parts[0].stream, counts[0]
