"""Texts in, checked vectors out: the client of Ollama and the pipeline over it."""

from ingestion_assets.embedding.delivery import Backoff, Rejected
from ingestion_assets.embedding.host import parse_host
from ingestion_assets.embedding.models import ModelFacts, model_facts
from ingestion_assets.embedding.ollama import Ollama, Preflight
from ingestion_assets.embedding.stream import EmbeddingStream, Metrics

__all__ = [
    "Backoff",
    "EmbeddingStream",
    "Metrics",
    "ModelFacts",
    "Ollama",
    "Preflight",
    "Rejected",
    "model_facts",
    "parse_host",
]
