"""Indexes for search: over the words of the chunks, and over the vectors of a generation."""

from ingestion_assets.store.index.state import (
    INDEX_FROM,
    INDEXABLE,
    IndexState,
    index_state,
    vector_index,
)
from ingestion_assets.store.index.vectors import Built, build_vector_index, check_used
from ingestion_assets.store.index.words import build_text_index, text_index, words

__all__ = [
    "INDEXABLE",
    "INDEX_FROM",
    "Built",
    "IndexState",
    "build_text_index",
    "build_vector_index",
    "check_used",
    "index_state",
    "text_index",
    "vector_index",
    "words",
]
