"""Bytes in, text and its structure out."""

from ingestion_assets.documents.extraction import VERSION, blocks, extract

__all__ = ["VERSION", "blocks", "extract"]
