"""Each source has its own chunker; another one costs only the vectors of other texts."""

from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from ingestion_assets_tests.defs.conftest import Materialize
from ingestion_assets_tests.services.faulty_ollama import Double


def _sources(folder: Path, settings: str) -> None:
    """The source `notes` with these settings, and a second one."""
    other = folder.parent / "other"
    other.mkdir(exist_ok=True)
    (other / "a.md").write_text("# Other\n\n## One\n\nFirst.\n\n## Two\n\nSecond.\n")
    (folder.parent / "sources.yaml").write_text(
        f"sources:\n  - {{name: notes, root: notes, {settings}}}\n"
        "  - {name: other, root: other}\n"
    )


def _rows(database: str, statement: str) -> list[Any]:
    with psycopg.connect(database) as connection:
        return connection.execute(statement).fetchall()


def _sent(result: dg.ExecuteInProcessResult) -> object:
    """How many texts a run has had embedded."""
    [event] = result.asset_materializations_for_node("embeddings")
    return event.metadata["texts_sent"].value


CHUNKS = """SELECT c.chunk_id, c.xmin::text, c.chunker, c.heading, c.context, e.content_hash
    FROM ingestion.chunks c JOIN ingestion.embeddings_1 e USING (chunk_id)
    JOIN ingestion.documents d USING (document_id)
    WHERE NOT superseded AND d.source = 'SOURCE' ORDER BY chunk_id"""


def test_another_chunker_splits_its_source_again_and_keeps_the_vectors_of_equal_texts(
    materialize: Materialize, folder: Path, database: str
) -> None:
    (folder / "0.md").write_text("# Note\n\n## One\n\nFirst 0.\n\n- Item 1.\n- Item 2.\n")
    _sources(folder, "buckets: 1")
    for key in ("notes/00", "other/00"):
        assert materialize(key=key).success
    others = _rows(database, CHUNKS.replace("SOURCE", "other"))
    before = {row[0] for row in _rows(database, CHUNKS.replace("SOURCE", "notes"))}

    _sources(folder, "buckets: 1, chunker: {kind: record}")
    sent = [_sent(materialize(key=key)) for key in ("notes/00", "other/00")]
    assert sent == [3, 0]  # what was one section is three chunks
    after = _rows(database, CHUNKS.replace("SOURCE", "notes"))
    assert _rows(database, CHUNKS.replace("SOURCE", "other")) == others
    assert len({row[0] for row in after} & before) == len(before) - 1


def test_what_is_embedded_before_the_text_is_for_the_source_to_say(
    materialize: Materialize, folder: Path, database: str, ollama: Double
) -> None:
    (folder / "0.md").write_text("---\ntitle: Title\n---\n# Note\n\n## One\n\nFirst.\n")
    for settings, context, text in (
        ("heading: false", "", "First."),
        ("title: true", "Title > Note > One", "Title > Note > One\n\nFirst."),
        ("title: false", None, "Note > One\n\nFirst."),
    ):
        _sources(folder, f"buckets: 1, include: [0.md], chunker: {{{settings}}}")
        assert materialize(key="notes/00").success
        [(_, _, _, heading, stored, _)] = _rows(database, CHUNKS.replace("SOURCE", "notes"))
        assert (heading, stored) == ("Note > One", context)
        [(vector,)] = _rows(database, "SELECT embedding::real[] FROM ingestion.embeddings")
        assert max(abs(vector - ollama.vector(text))) < 1e-6


def test_another_domain_keeps_chunks_and_vectors(
    materialize: Materialize, folder: Path, database: str, ollama: Double
) -> None:
    _sources(folder, "buckets: 1")
    assert materialize(key="notes/00").success
    before = _rows(database, CHUNKS.replace("SOURCE", "notes"))
    sent = ollama.stats()["texts_seen"]
    _sources(folder, "buckets: 1, categories: [{match: '{category}.md', domain: all}]")
    assert materialize(key="notes/00").success
    assert _rows(database, CHUNKS.replace("SOURCE", "notes")) == before
    assert ollama.stats()["texts_seen"] == sent
    names = _rows(database, "SELECT domain, category FROM ingestion.documents ORDER BY 2")
    assert names == [("all", str(n)) for n in range(6)]
