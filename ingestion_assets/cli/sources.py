"""`ingest sources`: what sources.yaml lists, checked; and a folder added to it."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ingestion_assets.cli.program import program
from ingestion_assets.cli.services import export, require_project, require_store, services
from ingestion_assets.errors import ConfigError, SourceError
from ingestion_assets.local.services import Services
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Source, edit, load
from ingestion_assets.sources.origin import Listed as Listing
from ingestion_assets.sources.origins import origin
from ingestion_assets.store.connection import connect
from ingestion_assets.store.removal import remove as delete
from ingestion_assets.store.sources import unlisted


@dataclass(frozen=True, slots=True)
class Listed:
    """A source and what was found of it.

    Attributes:
        origin: the folder, function, address or variable.
        documents: that it has; none if that is not known.
        problem: what is wrong with it; none if nothing is.
    """

    source: str
    origin: str
    buckets: int
    documents: int | None
    problem: str | None


@click.group(invoke_without_command=True, short_help="List and check the sources; add, remove one.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout.")
@click.pass_context
def sources(context: click.Context, as_json: bool) -> None:
    """List the sources of sources.yaml, and check them: exit code 1 if one cannot be read."""
    if context.invoked_subcommand:
        return
    listed = [_look(source) for source in load(Settings.from_environment().sources)]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in listed], indent=2))
    else:
        _show(listed)
    context.exit(any(row.problem for row in listed))


@sources.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", help="Of the source; the folder's name if it is not given.")
def add(folder: Path, name: str | None) -> None:
    """Add FOLDER to sources.yaml."""
    path = Settings.from_environment().sources
    root = os.path.relpath(folder, path.absolute().parent)
    chosen = name or re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._")
    edit.add(path, chosen, root)
    click.echo(f"{chosen} is added to {path}. Ingest it:  {program()} run {chosen}", err=True)


@sources.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Delete what is stored of NAME, which sources.yaml does not list any more.

    Its files are not touched.
    """
    settings = Settings.from_environment()
    listed = load(settings.sources)
    if name in {source.name for source in listed}:
        raise ConfigError(f"{name!r} is listed in {settings.sources}; take it out first")
    require_project()
    require_store(settings)
    with services(settings) as running, connect(running.database_url) as connection:
        left = unlisted(connection, [source.name for source in listed])
        if name not in left:
            raise ConfigError(
                f"nothing is stored of an unlisted source {name!r}; of these there is:"
                f" {', '.join(left) or 'none'}"
            )
        if not yes:
            click.confirm(f"Delete all documents of {name}, and their vectors?", abort=True)
        removed = delete(connection, name)
        _forget_partitions(running, name)
    click.echo(f"{name}: {removed:,} documents are deleted", err=True)


def _forget_partitions(running: Services, name: str) -> None:
    export(running)
    # Dagster takes over a second to import.
    from ingestion_assets.defs import launch  # noqa: PLC0415

    os.environ.setdefault("DAGSTER_HOME", str(launch.prepare_home(Path.cwd())))
    launch.forget_partitions(name)


def _look(source: Source) -> Listed:
    looked_at = origin(source)
    try:
        count, problem = _counted(looked_at.survey())
    except (ConfigError, SourceError) as exc:
        count, problem = None, str(exc)
    if count == 0 and problem is None:
        problem = f"no document of it matches {', '.join(source.include)}; see `include`, `exclude`"
    return Listed(source.name, looked_at.name, source.buckets, count, problem)


def _counted(surveyed: Iterable[Listing] | None) -> tuple[int | None, str | None]:
    """The number of documents, and the first error among them."""
    if surveyed is None:
        return None, None
    count, problem = 0, None
    for found in surveyed:
        if isinstance(found, SourceError):
            problem = problem or str(found)
        else:
            count += 1
    return count, problem


def _short(origin: str) -> str:
    return os.path.relpath(origin) if os.path.isabs(origin) else origin


def _show(listed: Sequence[Listed]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("source", overflow="fold")
    table.add_column("documents", justify="right")
    table.add_column("buckets", justify="right")
    table.add_column("origin", overflow="fold")
    for row in listed:
        count = "-" if row.documents is None else f"{row.documents:,}"
        table.add_row(row.source, count, str(row.buckets), _short(row.origin))
    Console().print(table)
    for row in listed:
        if row.problem:
            click.secho(f"{row.source}: {row.problem}", fg="red", err=True)
