"""Content of block editors in, its text by the block's type out."""

from ingestion_assets.documents.structured.kinds import HEADING_TYPE, is_heading
from ingestion_assets.documents.structured.text import block_text, heading_level, plain_text

__all__ = ["HEADING_TYPE", "block_text", "heading_level", "is_heading", "plain_text"]
