"""A double of Ollama's embedding API that keeps its contract, and breaks it by rule."""

from ingestion_assets_tests.services.faulty_ollama.running import Double, running
from ingestion_assets_tests.services.faulty_ollama.vectors import Vectors

__all__ = ["Double", "Vectors", "running"]
