"""`ingest run`: the sources into the store, through Dagster, with progress and a summary."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ingestion_assets.cli import index
from ingestion_assets.cli.completion import source_names
from ingestion_assets.cli.plan import plan, show_plan
from ingestion_assets.cli.program import program
from ingestion_assets.cli.progress import progress
from ingestion_assets.cli.services import export, require_project, services
from ingestion_assets.cli.summary import Summary, show, summarise
from ingestion_assets.errors import ConfigError
from ingestion_assets.local.services import Services
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Source, load
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import active
from ingestion_assets.store.generations.opening import heeds
from ingestion_assets.store.ledger import partitions_with_failures
from ingestion_assets.store.sources import unlisted

_WORKERS, _MAX_WORKERS = "INGEST_WORKERS", "INGEST_MAX_WORKERS"


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed after `ingest run`."""

    sources: tuple[str, ...]
    named: tuple[str, ...]
    sequential: bool
    workers: int | None
    retry_failed: bool
    clean: bool
    resume: bool
    data_dir: Path | None
    plan: bool
    yes: bool
    verbose: bool
    as_json: bool

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ConfigError: names the two options, and which to leave out.
        """
        for one, other, both in (
            ("--sequential", "--workers", self.sequential and self.workers not in (None, 1)),
            ("--clean", "--resume", self.clean and self.resume),
            ("--clean", "--retry-failed", self.clean and self.retry_failed),
            ("--plan", "--retry-failed", self.plan and self.retry_failed),
            ("--plan", "--clean", self.plan and self.clean),
        ):
            if both:
                raise ConfigError(f"{one} and {other} contradict each other; leave out one of them")


@click.command(short_help="Bring sources up to date.")
@click.argument("sources", nargs=-1, shell_complete=source_names)
@click.option(
    "--source",
    "named",
    multiple=True,
    metavar="NAME",
    shell_complete=source_names,
    help="The same as SOURCES; repeatable.",
)
@click.option("--sequential", is_flag=True, help="One request at a time; the result is the same.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help=f"Requests in flight at first, instead of {_WORKERS}.",
)
@click.option("--retry-failed", is_flag=True, help="Embed again what failed, and nothing else.")
@click.option("--clean", is_flag=True, help="Do everything again; search finds the old meanwhile.")
@click.option("--resume", is_flag=True, help="Go on where the last run ended; it always does.")
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Read this folder instead of the source's root.",
)
@click.option("--plan", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Delete what is gone, though it be most of a source.")
@click.option(
    "--verbose", is_flag=True, help="A line for every request to Ollama; tracebacks of errors."
)
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout.")
def run(**given: Any) -> None:
    """Bring SOURCES up to date; all of sources.yaml when none is named.

    Only what changed is read, chunked and embedded. Exit code 0 when everything is in the
    store, 1 when something failed, 2 when a setting is wrong.
    """
    options = Options(**given)
    if options.verbose:
        click.get_current_context().find_root().params["verbose"] = True  # tracebacks of errors
    options.check()
    _set_workers(options)
    settings = Settings.from_environment()
    listed = load(settings.sources)
    chosen = selected(listed, {*options.sources, *options.named})
    if options.data_dir is not None:
        chosen = [_only(chosen).moved(options.data_dir)]
    if options.verbose:
        _log_requests()
    require_project()
    with services(settings) as running:
        _name_left_over(running, listed)
        _name_unheeded(running, settings)
        if options.plan:
            show_plan(plan(running, settings, chosen), as_json=options.as_json)
            return
        _ingest(running, settings, chosen, options)


def _ingest(
    running: Services, settings: Settings, chosen: Sequence[Source], options: Options
) -> None:
    keys = _failed(running, chosen) if options.retry_failed else _all(chosen)
    if not keys:
        click.echo("No text has failed.", err=True)
    elif options.sequential:
        click.echo(f"Ingesting {', '.join(keys)} (sequential mode)", err=True)
    summaries = _materialize(running, keys, options) if keys else []
    show(summaries, _mode(settings), as_json=options.as_json)
    if summaries:
        index.keep(running.database_url, settings.recall_target)
    if any(summary.failures for summary in summaries):
        sys.exit(1)
    if not options.as_json and not options.retry_failed:
        click.echo(f'Search it:  {program()} search "how do I retry what failed"', err=True)


def _set_workers(options: Options) -> None:
    """The options go where Dagster's processes, too, will read them: the environment."""
    if options.sequential:
        os.environ[_WORKERS] = os.environ[_MAX_WORKERS] = "1"
    elif options.workers is not None:
        os.environ[_WORKERS] = str(options.workers)
    settings = Settings.from_environment()
    if settings.workers > settings.max_workers:
        click.secho(
            f"{settings.workers} workers are more than {_MAX_WORKERS}={settings.max_workers}:"
            f" using {settings.max_workers}",
            fg="yellow",
            err=True,
        )
        os.environ[_WORKERS] = str(settings.max_workers)


def _mode(settings: Settings) -> str:
    return "sequential" if settings.max_in_flight == 1 else f"parallel ({settings.workers}w)"


def selected(listed: Sequence[Source], names: set[str]) -> list[Source]:
    """The sources of some names, or all if there are none.

    Raises:
        ConfigError: no source has one of the names.
    """
    unknown = names - {source.name for source in listed}
    if unknown:
        raise ConfigError(
            f"no source is named {min(unknown)!r}; sources.yaml lists"
            f" {', '.join(source.name for source in listed)}"
        )
    return [source for source in listed if not names or source.name in names]


def _only(chosen: Sequence[Source]) -> Source:
    if len(chosen) != 1:
        raise ConfigError(
            f"--data-dir is the folder of one source, but {len(chosen)} are chosen; name one"
        )
    return chosen[0]


def _log_requests() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("ingestion_assets.embedding").setLevel(logging.DEBUG)


def _name_left_over(running: Services, listed: Sequence[Source]) -> None:
    with connect(running.database_url) as connection:
        names = [source.name for source in listed]
        left = unlisted(connection, names, but=("table", "adopted"))
    for name in left:
        click.echo(
            f"{name} is stored, but no longer listed: its documents are still found. Delete them:"
            f"  {program()} sources remove {name}",
            err=True,
        )


def _name_unheeded(running: Services, settings: Settings) -> None:
    """Say that a model is not gone back to because it is named again."""
    with connect(running.database_url) as connection:
        searched = active(connection)
        heeded = heeds(connection, settings.model)
    if heeded or searched is None or searched.model == settings.model:
        return
    if "INGESTION_MODEL" in os.environ:
        click.echo(
            f"INGESTION_MODEL={settings.model} changes nothing: {searched.model} has followed it."
            f" Change over:  {program()} reembed --model {settings.model}",
            err=True,
        )


def _all(sources: Sequence[Source]) -> dict[str, list[str]]:
    return {source.name: source.partition_keys() for source in sources}


def _failed(running: Services, sources: Sequence[Source]) -> dict[str, list[str]]:
    with connect(running.database_url) as connection:
        failed = {s.name: partitions_with_failures(connection, [s.name]) for s in sources}
    return {name: keys for name, keys in failed.items() if keys}


def _materialize(
    running: Services, keys: Mapping[str, Sequence[str]], options: Options
) -> list[Summary]:
    export(running)
    # Dagster takes over a second to import; only this command and `up` need it.
    from ingestion_assets.defs import launch  # noqa: PLC0415

    os.environ.setdefault("DAGSTER_HOME", str(launch.prepare_home(Path.cwd())))
    work = launch.Work(
        only_failed=options.retry_failed,
        clean=options.clean,
        allow_deletion=options.yes,
        root=options.data_dir.resolve() if options.data_dir else None,
    )
    with progress(running.database_url, keys) as bars:
        return [
            summarise(name, bars.follow(name, launch.materialize(keys[name], work)))
            for name in keys
        ]
