"""Keeps Postgres/pgvector in step with your documents, through your own Ollama, run by Dagster."""

__version__ = "0.1.0"
