"""Collections of embedded chunks as files for other tools: JSON, and Parquet with vectors."""

from ingestion_assets.export.collections import FOLDER, Exported, Progress, export
from ingestion_assets.export.formats import FORMATS
from ingestion_assets.export.plan import Selection

__all__ = ["FOLDER", "FORMATS", "Exported", "Progress", "Selection", "export"]
