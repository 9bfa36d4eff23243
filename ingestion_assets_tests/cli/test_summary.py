import pytest

from ingestion_assets.cli.summary import show, summarise
from ingestion_assets.defs.launch import Outcome


def _outcome(error: str | None = None, **embeddings: int) -> Outcome:
    figures = {"sources": {"dagster/row_count": 2, "new": 1}, "embeddings": embeddings}
    return Outcome("notes/00", "run", 2.0, figures, error)


def test_partitions_add_up() -> None:
    summary = summarise("notes", [_outcome(embedded=3, reused=1), _outcome(embedded=5)])
    assert (summary.documents, summary.new, summary.embedded, summary.reused) == (4, 2, 8, 1)
    assert (summary.seconds, summary.rate, summary.failures) == (4.0, 2.0, [])


def test_whatever_has_no_vector_is_a_failure() -> None:
    quarantined, missing, failed = (
        summarise("notes", [_outcome(quarantined=2)]),
        summarise("notes", [_outcome(missing=3)]),
        summarise("notes", [_outcome("no answer")]),
    )
    assert "2 chunks cannot be embedded" in quarantined.failures[0]
    assert "3 chunks still wait for their vectors" in missing.failures[0]
    assert failed.failures == ["notes/00: no answer"]


def test_after_failures_comes_the_command_to_try_again(capsys: pytest.CaptureFixture[str]) -> None:
    good, texts = summarise("good", [_outcome()]), summarise("notes", [_outcome(quarantined=2)])
    show([good, texts], "sequential", as_json=False)
    assert "run notes --retry-failed\n" in capsys.readouterr().err
    show([texts, summarise("wiki", [_outcome("no answer")])], "sequential", as_json=False)
    assert "run notes wiki\n" in capsys.readouterr().err
    show([good], "sequential", as_json=False)
    assert capsys.readouterr().err == ""
