"""The embedded defaults: Postgres with pgvector, and an embedder that speaks Ollama's API."""
