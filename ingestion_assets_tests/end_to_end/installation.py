"""A project over a database and a double of its own, with a Dagster that goes on and off."""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from ingestion_assets.sources import Source
from ingestion_assets_tests.end_to_end.project import Project
from ingestion_assets_tests.end_to_end.webserver import Dagster
from ingestion_assets_tests.services.faulty_ollama import Double

# What a run leaves, without times and without the numbers of generations.
_CONTENT = {
    "sources": "SELECT name, kind, config, buckets FROM ingestion.sources ORDER BY name",
    "documents": "SELECT to_jsonb(d) - 'ingested_at' FROM ingestion.documents d ORDER BY d.uri",
    "chunks": "SELECT to_jsonb(c) FROM ingestion.chunks c ORDER BY c.chunk_id",
    "vectors": "SELECT chunk_id, content_hash, embedding::text FROM ingestion.embeddings"
    " ORDER BY chunk_id",
    "ledger": "SELECT chunk_id, state, error_class FROM ingestion.ledger ORDER BY chunk_id",
}


class Installation:
    """What one user has: a folder, a database, an Ollama, and Dagster while it is started.

    Args:
        buckets: of each source, by its name; its root is `documents/<name>`.
    """

    dagster: Dagster

    def __init__(
        self, folder: Path, database: str, double: Double, buckets: Mapping[str, int]
    ) -> None:
        environment = {
            "INGESTION_DATABASE_URL": database,
            "OLLAMA_HOST": double.url,
            "INGEST_BREAKER_SECONDS": "1",
        }
        self.database, self.double = database, double
        self._buckets = buckets
        self.project = Project(folder, _listing(buckets), environment)
        for name in buckets:
            (folder / "documents" / name).mkdir()
        self._running = ExitStack()

    def start(self) -> None:
        self.dagster = self._running.enter_context(self.project.up())

    def stop(self) -> None:
        self._running.close()

    def only(self, *names: str) -> None:
        """List these sources, and no other."""
        listed = {name: self._buckets[name] for name in names}
        (self.project.folder / "sources.yaml").write_text(_listing(listed))

    def write(self, source: str, n: int, text: str | None = None) -> str:
        """Write the n-th document of a source; its partition."""
        self.project.write(f"{source}/{n}.md", text or f"# Note {n}\n\nOf {source}, the {n}th.\n")
        return Source(source, buckets=self._buckets[source]).partition_key(f"{n}.md")

    def vectors(self) -> dict[str, datetime]:
        """When each chunk was embedded."""
        with psycopg.connect(self.database) as connection:
            view = connection.execute("SELECT to_regclass('ingestion.embeddings')").fetchone()
            if view == (None,):
                return {}
            found = connection.execute("SELECT chunk_id, embedded_at FROM ingestion.embeddings")
            return {str(chunk): at for chunk, at in found}

    def partitions(self) -> set[str]:
        """Partitions of which documents are stored."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute("SELECT DISTINCT partition_key FROM ingestion.documents")
            return {key for (key,) in found}


def content(database: str) -> dict[str, list[Any]]:
    """What is stored, table by table."""
    with psycopg.connect(database) as connection:
        return {name: connection.execute(query).fetchall() for name, query in _CONTENT.items()}


def _listing(buckets: Mapping[str, int]) -> str:
    listed = (f"  - {{name: {n}, root: documents/{n}, buckets: {b}}}\n" for n, b in buckets.items())
    return "sources:\n" + "".join(listed)
