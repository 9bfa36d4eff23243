"""Ollama's embedding API as checks that any server can be put through."""
