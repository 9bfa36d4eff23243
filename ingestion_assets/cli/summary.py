"""What a run did to each source: as a table, or as JSON."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from ingestion_assets.cli.program import program
from ingestion_assets.cli.stages import Stage, add

if TYPE_CHECKING:
    from ingestion_assets.defs.launch import Outcome

_COLUMNS = (
    "docs", "new", "changed", "gone", "unread", "chunks", "embedded", "reused", "failed", "time",
    "rate",
)  # fmt: skip
_WIDTH = 80
_FAILURES = 10  # shown of a source; the rest is counted


@dataclass(slots=True)
class Summary:
    """One source's line.

    Attributes:
        missing: chunks with neither a vector nor a text that is at fault.
        skipped: files that are not text, and were left out.
        unread: documents that could not be read.
        failures: what failed and why: partitions, and documents that could not be read.
        seconds: wall time of the source's runs.
        runs: their ids.
        stages: figures of each stage that was completed, by its name.
    """

    source: str
    new: int = 0
    changed: int = 0
    deleted: int = 0
    skipped: int = 0
    unread: int = 0
    documents: int = 0
    chunks: int = 0
    embedded: int = 0
    reused: int = 0
    quarantined: int = 0
    missing: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Chunks without a vector."""
        return self.quarantined + self.missing

    @property
    def rate(self) -> float:
        """Chunks embedded per second."""
        return self.embedded / self.seconds if self.seconds else 0.0


def summarise(source: str, outcomes: Iterable["Outcome"]) -> Summary:
    """Add up what the runs of a source's partitions did."""
    summary = Summary(source)
    stages: dict[str, Stage] = {}
    for outcome in outcomes:
        _add(summary, outcome.figures)
        add(stages, outcome.figures)
        summary.runs.append(outcome.run_id)
        summary.seconds += outcome.seconds
        if outcome.error:
            summary.failures.append(f"{outcome.partition_key}: {outcome.error}")
    summary.stages = {name: stage.figures() for name, stage in stages.items()}
    if summary.quarantined:
        summary.failures.append(
            f"{summary.quarantined} chunks cannot be embedded; see: {program()} status --failed"
        )
    if summary.missing:
        summary.failures.append(
            f"{summary.missing} chunks still wait for their vectors; embed them: {program()} run"
        )
    return summary


def show(summaries: Sequence[Summary], mode: str, *, as_json: bool) -> None:
    """Print the summaries: a table, the mode, then what failed; or JSON."""
    if as_json:
        rows = [
            {**asdict(summary), "failed": summary.failed, "rate": summary.rate, "mode": mode}
            for summary in summaries
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    if summaries:
        Console().print(_table(summaries))
        click.echo(f"Mode: {mode}")
    for summary in summaries:
        if summary.skipped:
            click.echo(f"{summary.source}: {summary.skipped} files are not text", err=True)
        for failure in summary.failures[:_FAILURES]:
            click.secho(wrapped("failed  ", f"{summary.source}: {failure}"), fg="red", err=True)
        if len(summary.failures) > _FAILURES:
            click.secho(f"… and {len(summary.failures) - _FAILURES} more", fg="red", err=True)
    if failed := [summary.source for summary in summaries if summary.failures]:
        only_texts = all(s.quarantined and len(s.failures) == 1 for s in summaries if s.failures)
        option = " --retry-failed" if only_texts else ""
        click.echo(f"Try again:  {program()} run {' '.join(failed)}{option}", err=True)


def wrapped(lead: str, text: str) -> str:
    """A message for a terminal: lines of 80 characters, the later ones under the first."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _add(summary: Summary, figures: Any) -> None:
    read = figures.get("sources", {})
    summary.documents += read.get("dagster/row_count", 0)
    summary.new += read.get("new", 0)
    summary.changed += read.get("changed", 0)
    summary.deleted += read.get("gone", 0)
    summary.skipped += read.get("skipped", 0)
    summary.unread += read.get("failed", 0)
    summary.failures += [failure["message"] for failure in read.get("failures", [])]
    summary.chunks += figures.get("chunks", {}).get("dagster/row_count", 0)
    summary.embedded += figures.get("embeddings", {}).get("embedded", 0)
    summary.reused += figures.get("embeddings", {}).get("reused", 0)
    summary.quarantined += figures.get("embeddings", {}).get("quarantined", 0)
    summary.missing += figures.get("embeddings", {}).get("missing", 0)


def _table(summaries: Sequence[Summary]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("source", overflow="fold")
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for s in summaries:
        read = (s.documents, s.new, s.changed, s.deleted, s.unread)
        cells = [f"{count:,}" for count in (*read, s.chunks, s.embedded, s.reused, s.failed)]
        table.add_row(s.source, *cells, f"{s.seconds:.1f} s", f"{s.rate:.0f}/s")
    return table
