"""PDF bytes in, Markdown and the page offsets out."""

from ingestion_assets.documents.pdf.reader import read

__all__ = ["read"]
