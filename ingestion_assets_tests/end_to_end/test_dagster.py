"""The running product: `ingest up`, driven over GraphQL as the UI drives it."""

from pathlib import Path

import psycopg
import pytest

from ingestion_assets_tests.end_to_end.project import Project, wait_for
from ingestion_assets_tests.end_to_end.webserver import Dagster

SOURCES = """
sources:
  - name: handbook
    root: documents
    buckets: 2
"""
KEYS = [f"handbook/{bucket:02d}" for bucket in range(2)]
PENGUINS = "Emperor penguins walk up to a hundred kilometres across the ice to their colony."


@pytest.fixture
def project(tmp_path: Path, database: str, embedder: str) -> Project:
    """Twenty documents of three sections each, on real Postgres and real embeddings."""
    environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOST": embedder}
    project = Project(tmp_path, SOURCES, environment)
    for n in range(20):
        project.write(f"{n:02d}.md", _document(n))
    project.write("birds.md", f"# Birds\n\n## Penguins\n\n{PENGUINS}\n")
    return project


def test_backfill_edit_and_delete_embed_exactly_the_difference(
    project: Project, database: str
) -> None:
    with project.up() as dagster:
        backfill = dagster.backfill(KEYS)
        wait_for(lambda: _have_succeeded(dagster, len(KEYS)))
        assert _chunks_without_vector(database) == 0
        before = _embedded(database)
        assert len(before) == 20 * 3 + 1
        assert project.search("How far do penguins travel?", "-k", "1")[0]["uri"] == "birds.md"

        project.write("03.md", _document(3).replace("Part 2 of 3", "An edited part"))
        (project.folder / "documents" / "birds.md").unlink()
        project.run("run")
        after = _embedded(database)
        assert _chunks_without_vector(database) == 0
        assert len(after.keys() - before.keys()) == 1
        assert all(after[chunk] == before[chunk] for chunk in after.keys() & before.keys())
        assert len(before.keys() - after.keys()) == 2
        assert all(hit["uri"] != "birds.md" for hit in project.search("penguins", "-k", "99"))
        # Half a minute may pass before the daemon notes it: the above is done in the meantime.
        assert dagster.wait_for_backfill(backfill) == "COMPLETED_SUCCESS"
        assert {run["status"] for run in dagster.runs()} == {"SUCCESS"}


def test_plain_dagster_dev_needs_only_the_two_variables(
    tmp_path: Path, database: str, embedder: str
) -> None:
    environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOST": embedder}
    project = Project(tmp_path, SOURCES, environment)
    project.write("one.md", "# One\n\nA first document.\n")
    with project.dagster_dev() as dagster:
        wait_for(lambda: dagster.partition_keys() == KEYS)
        wait_for(lambda: _have_succeeded(dagster, 1))  # the sensor's, of the document's partition
        assert len(_embedded(database)) == 1
        dagster.launch(KEYS[0])
        wait_for(lambda: _have_succeeded(dagster, 2))


def _have_succeeded(dagster: Dagster, runs: int) -> bool:
    """Whether so many runs have ended well, or more: the sensor may have asked for some as well."""
    statuses = [run["status"] for run in dagster.runs()]
    return len(statuses) >= runs and set(statuses) == {"SUCCESS"}


def _document(n: int) -> str:
    parts = [
        f"## Section {part}\n\nPart {part} of {n}: the code word is w{n}x{part}.\n"
        for part in (1, 2, 3)
    ]
    return f"# Document {n}\n\n" + "\n".join(parts)


def _chunks_without_vector(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM ingestion.chunks LEFT JOIN ingestion.embeddings e"
            " USING (chunk_id, content_hash) WHERE e.chunk_id IS NULL"
        ).fetchone()
    assert row
    return int(row[0])


def _embedded(database: str) -> dict[str, str]:
    """When each chunk was embedded, by its id."""
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT chunk_id, embedded_at FROM ingestion.embeddings")
        return {str(chunk): str(at) for chunk, at in rows}
