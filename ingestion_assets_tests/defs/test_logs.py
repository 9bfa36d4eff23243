"""What a run logs says of which run, partition, document and chunk; and no secret."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ingestion_assets.logs import log_ours_to
from ingestion_assets.store.connection import connect
from ingestion_assets_tests.defs.conftest import Materialize
from ingestion_assets_tests.services.faulty_ollama import Double


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    ours = logging.getLogger("ingestion_assets")
    before = ours.handlers[:], ours.level, ours.propagate
    written = io.StringIO()
    log_ours_to(written, "json")
    yield written
    ours.handlers[:], ours.level, ours.propagate = before


def test_every_line_of_a_run_says_what_it_is_about(
    materialize: Materialize, folder: Path, ollama: Double, database: str, stream: io.StringIO
) -> None:
    for n in range(6):
        (folder / f"poison {n}.md").write_text(f"# {n}\n\npoison hunter2\n")
        (folder / f"unreadable {n}.pdf").write_bytes(b"%PDF-1.7 nonsense")
    ollama.break_by({"fault": "F6", "match": "poison"})
    result = materialize(key="notes/00")
    assert result.success
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert {(line.get("run"), line.get("partition")) for line in lines} == {
        (result.run_id, "notes/00")
    }
    with connect(database) as connection:
        rows = connection.execute("SELECT chunk_id::text FROM ingestion.ledger")
        quarantined = {chunk for (chunk,) in rows}
    rejected = [line for line in lines if line["message"].startswith("A text is rejected")]
    assert {line["chunk"] for line in rejected} == quarantined
    assert quarantined
    unread = {line["document"] for line in lines if "document" in line}
    assert unread
    assert all(document.startswith("unreadable") for document in unread)
    stages = [
        line["message"].partition(" ")[0] for line in lines if "done after" in line["message"]
    ]
    assert stages == ["sources", "chunks", "embeddings"]
    assert "hunter2" not in stream.getvalue()
    assert database not in stream.getvalue()
