"""Generations of embeddings: one table for each way of making vectors, one of them active."""

from ingestion_assets.store.generations.generation import (
    Generation,
    Recipe,
    active,
    filled,
    find,
    in_use,
)
from ingestion_assets.store.generations.opening import (
    Plan,
    create_table,
    open_generation,
)

__all__ = [
    "Generation",
    "Plan",
    "Recipe",
    "active",
    "create_table",
    "filled",
    "find",
    "in_use",
    "open_generation",
]
