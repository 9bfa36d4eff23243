"""Where documents come from: files or records in, changes to the stored documents out."""

from ingestion_assets.documents.document import document_id
from ingestion_assets.sources.config import load
from ingestion_assets.sources.counts import Counts, Failure
from ingestion_assets.sources.reconcile import Reconciliation
from ingestion_assets.sources.record import Record
from ingestion_assets.sources.source import Source

__all__ = ["Counts", "Failure", "Reconciliation", "Record", "Source", "document_id", "load"]
