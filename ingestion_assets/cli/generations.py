"""`ingest generations`: how vectors are made, what is searched, and how to change that."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import datetime

import click

from ingestion_assets.cli.program import program
from ingestion_assets.cli.services import require_store, services, stored
from ingestion_assets.embedding import Ollama
from ingestion_assets.errors import ConfigError, GenerationError, OllamaError
from ingestion_assets.local.services import Services
from ingestion_assets.retrieval.promotion import warm
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, activation, find, retirement
from ingestion_assets.store.generations.activation import Standing
from ingestion_assets.store.generations.listing import Listed
from ingestion_assets.store.generations.listing import generations as listed

_INDENT = " " * 4
_STYLES = {"active": "green", "building": "yellow", "retired": None, "dropped": None}
_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


@click.group(
    short_help="List the generations of embeddings; change over, go back.",
    invoke_without_command=True,
)
@click.option("--all", "everything", is_flag=True, help="Dropped ones too.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout.")
@click.pass_context
def generations(context: click.Context, everything: bool, as_json: bool) -> None:
    """List the generations: model, coverage, index, size, and what each waits for.

    A generation is all vectors that are made in one way: by one model, with one prefix. Search
    reads the active one. `ingest reembed` opens another beside it.
    """
    if context.invoked_subcommand is not None:
        return
    with stored(Settings.from_environment()) as url, connect(url) as connection:
        found = [g for g in listed(connection) if everything or g.coverage is not None]
    if as_json:
        click.echo(json.dumps([each.described() for each in found], default=str, indent=2))
        return
    for each in found:
        _show(each)
    if not found:
        click.echo("Nothing is embedded yet: run `ingest run` first.", err=True)


@generations.command()
@click.argument("number", type=int)
@click.option("--force", is_flag=True, help="Though texts are missing, or it failed its questions.")
def activate(number: int, force: bool) -> None:
    """Search generation NUMBER from now on; the present one is kept for its days of grace.

    It is one transaction, and refused if an answer could miss a text that is found now.
    """
    _change(number, force=force)


@generations.command()
@click.option("--force", is_flag=True, help="Though texts are missing in it.")
def rollback(force: bool) -> None:
    """Search the generation again that was searched before.

    It was kept complete, so nothing is embedded first. Doing it twice undoes it.
    """
    _change(None, force=force)


@generations.command()
@click.argument("number", type=int)
def drop(number: int) -> None:
    """Drop generation NUMBER: one that is retired, or give up one that is building."""
    with stored(Settings.from_environment()) as url, connect(url) as connection:
        retirement.drop(connection, _find(connection, number))
    click.echo(f"Generation {number} is dropped.", err=True)


def _change(number: int | None, *, force: bool) -> None:
    settings = Settings.from_environment()
    require_store(settings)
    with services(settings) as running, connect(running.database_url) as connection:
        chosen = _find(connection, number) if number else activation.rollback(connection)
        if not force:
            _warm(settings, running, chosen)
        activation.activate(connection, chosen, force=force)
    click.echo(
        f"Generation {chosen.generation_id} ({chosen.model}) is searched now. Undo it: "
        f" {program()} generations rollback",
        err=True,
    )


def _find(connection: Connection, number: int) -> Generation:
    found = find(connection, number)
    if found is None:
        raise ConfigError(f"there is no generation {number}; `ingest generations` lists them")
    return found


def _warm(settings: Settings, running: Services, generation: Generation) -> None:
    """See that questions can be embedded before any is asked.

    Raises:
        GenerationError: a server cannot.
    """
    hosts = settings.ollama_hosts or (running.ollama_host,)

    async def ask() -> None:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(Ollama(host, api_key=settings.ollama_api_key))
                for host in hosts
            ]
            await warm(clients, generation)

    try:
        asyncio.run(ask())
    except OllamaError as exc:
        raise GenerationError(
            f"generation {generation.generation_id} cannot be searched: {exc}; --force activates"
            " it all the same"
        ) from exc


def _show(each: Listed) -> None:
    made = each.generation
    head = f"{made.generation_id:>2}  {made.status:<9}"
    click.secho(head, fg=_STYLES[made.status], bold=True, nl=False)
    cut = ", shortened" if made.shortened else ""
    click.echo(f" {made.model} {made.digest[:12]}  {made.storage}({made.dimensions}){cut}")
    for line in _lines(each):
        click.echo(_INDENT + line)


def _lines(each: Listed) -> Iterator[str]:
    yield _coverage(each)
    yield f"{_index(each):<40}{_size(each.bytes)}"
    made = each.generation
    if made.document_prefix or made.query_prefix:
        yield f"prefixes {made.document_prefix!r}, questions {made.query_prefix!r}"
    gate = each.schedule.gate
    if gate is not None:
        yield (
            f"{gate['questions']} golden questions: hit rate {gate['hit_rate']:.3f}"
            f" (active {gate['active_hit_rate']:.3f}),"
            f" nDCG {gate['ndcg']:.3f} ({gate['active_ndcg']:.3f})"
        )
    if fate := _fate(each):
        yield fate


def _coverage(each: Listed) -> str:
    found = each.coverage
    if found is None:
        return "its vectors are gone"
    wanted = found.chunks - found.quarantined
    share = found.embedded / wanted if wanted else 1.0
    text = f"{found.embedded:,} of {found.chunks:,} texts"
    # Rounded down: what is not complete must not look so.
    text += f", {int(share * 1000) / 10:.1f} %"
    return text + (f", {found.quarantined:,} in quarantine" if found.quarantined else "")


def _index(each: Listed) -> str:
    index = each.index
    if index.state == "building" and index.progress is not None:
        return f"index building, {index.progress:.0%}"
    if index.progress is not None:
        return f"index {index.state}, another in its place {index.progress:.0%}"
    if index.recall is not None:
        return f"index valid, recall {index.recall:.4f} at ef {index.ef_search}"
    return "no index" if index.state == "none" else f"index {index.state}"


def _fate(each: Listed) -> str:
    if each.awaits is Standing.READY:
        return "complete: the next run, or a worker, activates it"
    if each.awaits is not None:
        return f"building: {each.awaits.value}"
    if each.generation.status == "active" and each.activated_at:
        return f"active since {_minute(each.activated_at)}"
    if each.drop_after is not None and each.generation.status == "retired":
        kept = "kept complete" if each.is_filled else "kept as it is"
        return f"{kept} until {_minute(each.drop_after)}"
    return ""


def _size(size: int) -> str:
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
