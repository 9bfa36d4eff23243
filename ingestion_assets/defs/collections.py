"""The collections as an asset: all partitions' chunks, by domain and category, as files."""

from typing import Any

import dagster as dg
from pydantic import Field

from ingestion_assets.defs.assets import RETRIES, embeddings
from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.report import table
from ingestion_assets.defs.resources import StoreResource
from ingestion_assets.export import Exported, Selection, export
from ingestion_assets.settings import Settings


class CollectionsResource(dg.ConfigurableResource[Any]):
    """Where collections go, and which."""

    url: str = Field(description="A folder, or any url that fsspec knows.")
    formats: list[str] = Field(description="Of the files: json, parquet.")
    include: list[list[str]] = Field(
        default=[], description="Globs of domain and category; all if there is none."
    )

    def selection(self) -> Selection:
        """What is exported."""
        return Selection(self.formats, [(domain, category) for domain, category in self.include])


@dg.asset(
    deps=[embeddings],
    description="A file for each domain and category and format, with the chunks that have a"
    " vector; only what changed is written. `ingest export` does the same.",
    group_name="collections",
    owners=["team:ingestion"],
    kinds={"json", "parquet"},
    retry_policy=RETRIES,
    metadata={"documentation": dg.MetadataValue.path("docs/collections.md")},
)
def collections(
    store: StoreResource, collecting: CollectionsResource
) -> dg.MaterializeResult[None]:
    """All files are of one moment of the store, and of the generation that is searched."""
    with reported(), store.connect() as connection:
        done = export(connection, collecting.url, collecting.selection())
    return dg.MaterializeResult(metadata=_figures(done))


collections_job = dg.define_asset_job(
    "collections_job",
    selection=[collections],
    description="Writes the collections that changed.",
)


def nightly_collections(settings: Settings) -> dg.ScheduleDefinition:
    """Each night, once all partitions have had their turn; on where it is said where they go."""
    status = dg.DefaultScheduleStatus
    return dg.ScheduleDefinition(
        name="nightly_collections",
        job=collections_job,
        cron_schedule="30 5 * * *",
        default_status=status.RUNNING if settings.collections_url else status.STOPPED,
        description="Every night, the collections that changed; on if INGEST_COLLECTIONS_URL is"
        " set.",
    )


def _figures(done: Exported) -> dict[str, Any]:
    return {
        "folder": done.where,
        "dagster/row_count": done.chunks,
        "collections": done.collections,
        "missing": done.missing,
        "files_written": len(done.written),
        "files_unchanged": done.unchanged,
        "files_removed": len(done.removed),
        "bytes_written": done.bytes,
        **table("written", ({"path": path} for path in done.written)),
        **table("removed", ({"path": path} for path in done.removed)),
    }
