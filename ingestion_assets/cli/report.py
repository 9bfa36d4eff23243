"""`ingest report`: how fast a run was, stage by stage, and how that went over time."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from ingestion_assets.cli.services import stored
from ingestion_assets.cli.stages import Stage, add
from ingestion_assets.settings import Settings

if TYPE_CHECKING:
    from ingestion_assets.defs.history import Recorded

_COLUMNS = ("items", "time", "rate", "mean", "p50", "p95", "retries", "429s", "bytes")
_SPARKLINE = 50  # characters
_SPARKS = " ▁▂▃▄▅▆▇█"


@click.command(short_help="Show how fast a run was, and where it spent its time.")
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout.")
def report(run: str | None, as_json: bool) -> None:
    """Report on RUN: the id of a run or a backfill, or its beginning; the latest if none is given.

    All runs of one `ingest run`, or of one backfill, are reported together.
    """
    with stored(Settings.from_environment()) as url:
        os.environ["INGESTION_DATABASE_URL"] = url  # where Dagster's tables are, unless elsewhere
        # Dagster takes over a second to import.
        from ingestion_assets.defs import history, launch  # noqa: PLC0415

        os.environ.setdefault("DAGSTER_HOME", str(launch.prepare_home(Path.cwd())))
        runs = history.recorded(run)
    stages: dict[str, Stage] = {}
    for recorded in runs:
        add(stages, recorded.figures)
    if as_json:
        click.echo(json.dumps(_document(runs, stages), indent=2))
        return
    click.echo(_title(runs))
    if not stages:
        click.echo("No stage of it was completed.")
        return
    Console().print(_table(stages))
    for stage in stages.values():
        _draw(stage)


def _document(runs: Sequence["Recorded"], stages: Mapping[str, Stage]) -> dict[str, object]:
    courses = {name: stage.course() for name, stage in stages.items() if stage.retries is not None}
    heads = [{k: v for k, v in asdict(recorded).items() if k != "figures"} for recorded in runs]
    return {
        "runs": heads,
        "stages": {name: stage.figures() for name, stage in stages.items()},
        "courses": {
            name: {
                "interval_s": course.width,
                "per_s": [round(rate, 2) for rate in course.rates],
                "concurrency": [round(busy, 2) for busy in course.concurrency],
            }
            for name, course in courses.items()
        },
    }


def _title(runs: Sequence["Recorded"]) -> str:
    begun = [recorded.started for recorded in runs if recorded.started]
    ended = [recorded.ended for recorded in runs if recorded.ended]
    many = Counter(recorded.status.lower() for recorded in runs)
    states = ", ".join(f"{n} {status}" if len(runs) > 1 else status for status, n in many.items())
    first = runs[0]
    what = first.partition_key or "no partition"
    if len(runs) > 1:
        what = f"{what} and {len(runs) - 1} more"
    if not begun:
        return f"Run {first.run_id[:8]}, {what}: {states}"
    at = datetime.fromtimestamp(min(begun)).astimezone()
    took = f", {max(ended) - min(begun):.1f} s" if ended else ""
    return f"Run {first.run_id[:8]}, {what}: {states}; {at:%Y-%m-%d %H:%M:%S}{took}"


def _table(stages: Mapping[str, Stage]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("stage", overflow="fold")
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for stage in stages.values():
        latencies = stage.latencies
        times = (latencies.mean, latencies.percentile(50), latencies.percentile(95))
        table.add_row(
            stage.name,
            f"{stage.items:,}",
            _duration(stage.seconds),
            f"{stage.rate:,.0f}/s",
            *(_duration(seconds) for seconds in times),
            *("" if n is None else f"{n:,}" for n in (stage.retries, stage.rate_limit_hits)),
            decimal(stage.bytes),
        )
    return table


def _draw(stage: Stage) -> None:
    """The course of a stage that sends requests, as two lines of a terminal."""
    course = stage.course()
    if len(course.done) < 2:
        return
    seconds = len(course.done) * course.width
    click.echo(f"\n{stage.name}, {seconds:,.0f} s from left to right")
    click.echo(f"chunks/s   {_spark(course.rates)}  {max(course.rates):,.0f} at most")
    click.echo(f"in flight  {_spark(course.concurrency)}  {max(course.concurrency):.1f} at most")


def _spark(values: Sequence[float]) -> str:
    """A character for each value; for several, if they are many."""
    each = ceil(len(values) / _SPARKLINE)
    means = [fmean(values[i : i + each]) for i in range(0, len(values), each)]
    high = max(means) or 1.0
    return "".join(_SPARKS[round(mean / high * (len(_SPARKS) - 1))] for mean in means)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms" if seconds >= 0.01 else f"{1e3 * seconds:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
