"""The command `ingest`: stdout is data, stderr is talk, the exit code says how it went."""

from ingestion_assets.cli.group import main

__all__ = ["main"]
