"""Documents extracted in processes of their own, so that none costs more than itself."""

from ingestion_assets.documents.processes.limits import Limits
from ingestion_assets.documents.processes.pool import Extractors
from ingestion_assets.documents.processes.raw import Raw

__all__ = ["Extractors", "Limits", "Raw"]
