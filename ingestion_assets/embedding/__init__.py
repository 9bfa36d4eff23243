"""Texts in, checked vectors out: the client of Ollama and the pipeline over it."""

from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.delivery import Rejected
from ingestion_assets.embedding.endpoints import Endpoints
from ingestion_assets.embedding.host import parse_host
from ingestion_assets.embedding.identity import Identity
from ingestion_assets.embedding.models import ModelFacts, model_facts
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.embedding.stream import EmbeddingStream, Metrics

__all__ = [
    "Backoff",
    "EmbeddingStream",
    "Endpoints",
    "Identity",
    "Metrics",
    "ModelFacts",
    "Ollama",
    "Rejected",
    "model_facts",
    "parse_host",
]
