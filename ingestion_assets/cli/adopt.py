"""`ingest adopt`: embeddings that another package made, taken over as they are."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ingestion_assets.chunks.chunk import embedded_text
from ingestion_assets.cli.program import program
from ingestion_assets.cli.services import services
from ingestion_assets.embedding import Identity, Ollama
from ingestion_assets.errors import ConfigError, ContentError
from ingestion_assets.local.services import Services
from ingestion_assets.retrieval.recipes import recipe
from ingestion_assets.settings import Settings
from ingestion_assets.store import adoption, canary
from ingestion_assets.store.adoption import Adopted, Layout, Survey, Target, Verdict
from ingestion_assets.store.audit import snapshot
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Recipe
from ingestion_assets.store.sources import name_for

_SAMPLE = 32  # rows


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to adopt, and where it would go.

    Attributes:
        lead: what stood before every text when it was embedded.
    """

    layout: Layout
    survey: Survey
    model: Identity
    lead: str
    target: Target

    @property
    def recipe(self) -> Recipe:
        return recipe(self.model)

    def figures(self) -> dict[str, Any]:
        """As JSON has them."""
        told = self.layout.vectorizer
        return {
            "table": self.layout.title,
            "kind": self.layout.kind,
            **asdict(self.survey),
            "recorded_model": told.model if told else None,
            "recorded_template": told.template if told else None,
            "model": self.model.model,
            "dimensions": self.model.dimensions,
            "prefix": self.lead,
            "source": self.target.source,
        }


@click.command(short_help="Take over embeddings that other packages made.")
@click.argument("table")
@click.option("--model", help="That made them, as Ollama calls it; INGESTION_MODEL by default.")
@click.option("--source", help="What to call them here; after the table by default.")
@click.option("--document-prefix", "prefix", help="What stood before each text; none by default.")
@click.option("--collection", help="Of LangChain's PGVector, if the table has several.")
@click.option("--from", "url", metavar="URL", help="The table's database, if it is another one.")
@click.option(
    "--sample",
    type=click.IntRange(0, 10_000),
    default=_SAMPLE,
    show_default=True,
    help="Rows to embed again and compare.",
)
@click.option("--plan", is_flag=True, help="Say what was found and would be done; nothing is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def adopt(table: str, **options: Any) -> None:
    """Copy the rows of TABLE with their vectors; nothing is embedded but a sample.

    TABLE was filled by a pgai vectorizer, LangChain's PGVector or PGVectorStore, or LlamaIndex's
    PGVectorStore. It is only read. Call it again to copy what is new or changed since. Exit code
    1: some vectors cannot be used; their rows wait for a worker.
    """
    settings = Settings.from_environment()
    settings = replace(settings, model=options["model"] or settings.model)
    with (
        services(settings) as running,
        connect(running.database_url) as ours,
        connect(options["url"] or running.database_url) as theirs,
    ):
        with snapshot(theirs):
            layout = adoption.detect(theirs, table, options["collection"])
            counted = adoption.survey(theirs, layout)
        identity = asyncio.run(_identify(settings, running))
        found = _found(theirs, layout, counted, identity, options)
        _check(ours, found)
        if options["plan"]:
            _show_plan(ours, found, as_json=options["as_json"])
            return
        verdict, proof = _verify(settings, running, theirs, found, options["sample"])
        generation = adoption.join(ours, found.recipe)
        canary.keep(ours, generation, proof)
        with snapshot(theirs):
            done = adoption.adopt(ours, generation, found.target, adoption.rows(theirs, layout))
    _show(found, verdict, done, as_json=options["as_json"])
    if settings.model != Settings.from_environment().model:
        click.echo(f"Set INGESTION_MODEL={settings.model}, so that the rest follows.", err=True)
    if done.refused:
        sys.exit(1)


async def _identify(settings: Settings, running: Services) -> Identity:
    async with _ollama(settings, running) as ollama:
        return await ollama.identify(settings.model)


def _ollama(settings: Settings, running: Services) -> Ollama:
    host = next(iter(settings.ollama_hosts), running.ollama_host)
    return Ollama(host, api_key=settings.ollama_api_key, timeout=settings.timeout)


def _found(
    theirs: Connection,
    layout: Layout,
    counted: Survey,
    model: Identity,
    options: dict[str, Any],
) -> Found:
    lead = options["prefix"]
    if lead is None:
        lead = (layout.vectorizer.prefix if layout.vectorizer else None) or ""
    # As the model's own prefix, it needs no mention: the same text is the same to the store.
    own = None if lead == recipe(model).document_prefix else lead
    name = name_for(options["source"], layout.collection or layout.table.name, "--source")
    table = f"{theirs.info.dbname}.{layout.title}"
    return Found(layout, counted, model, lead, Target(name, own, layout.kind, table))


def _check(ours: Connection, found: Found) -> None:
    """Refuse what could not be adopted, before anything is embedded or written.

    Raises:
        ConfigError: dimensions, the generation in use, or the source's name do not fit.
    """
    widths, model = found.survey.widths, found.model
    if widths and model.dimensions not in widths:
        raise ConfigError(
            f"vectors of {found.layout.title} have {', '.join(map(str, widths))} dimensions, but"
            f" {model.model!r} gives {model.dimensions}; name the model that made them with --model"
        )
    adoption.check_name(ours, found.target)
    adoption.joined(ours, found.recipe)


def _verify(
    settings: Settings, running: Services, theirs: Connection, found: Found, n: int
) -> tuple[Verdict, NDArray[np.float32]]:
    """Embed a sample again; what it says, and the vector of the canary.

    Raises:
        AdoptionError: too many rows have another vector than the model gives.
    """
    with snapshot(theirs):
        picked = adoption.sample(theirs, found.layout, n)
    texts = [found.lead + embedded_text(row.heading, row.text) for row in picked]
    answers, proof = asyncio.run(_ask(settings, running, found.model, texts))
    verdict = adoption.compare(picked, answers, found.model.dimensions)
    told = found.layout.vectorizer
    remark = f". pgai's catalog says: model {told.model!r}, text {told.template!r}" if told else ""
    verdict.insist(found.model.model, remark)
    if not verdict.compared:
        click.secho("Nothing is verified: the vectors may be anybody's.", fg="yellow", err=True)
    return verdict, proof


async def _ask(
    settings: Settings, running: Services, model: Identity, texts: Sequence[str]
) -> tuple[list[NDArray[np.float32] | None], NDArray[np.float32]]:
    """What the model gives for some texts, and for the canary."""
    async with _ollama(settings, running) as ollama:
        proof = await ollama.prove(model)
        return [await _embed(ollama, model, text) for text in texts], proof


async def _embed(ollama: Ollama, model: Identity, text: str) -> NDArray[np.float32] | None:
    """The vector of one text; none if the model does not take it."""
    try:
        answer = await ollama.embed(model.model, [text], options=model.options)
    except ContentError:
        return None
    vector: NDArray[np.float32] = answer.matrix[0]
    return None if answer.dead else vector


def _show_plan(ours: Connection, found: Found, *, as_json: bool) -> None:
    joined = adoption.joined(ours, found.recipe)
    if as_json:
        into = joined.generation_id if joined else None
        click.echo(json.dumps({**found.figures(), "generation": into}, indent=2))
        return
    what = f"generation {joined.generation_id}" if joined else "a new generation, searched at once"
    _print([*_found_lines(found), ("would go to", f"source {found.target.source}, {what}")])


def _show(found: Found, verdict: Verdict, done: Adopted, *, as_json: bool) -> None:
    if as_json:
        what = {**found.figures(), "sample": asdict(verdict), "adopted": asdict(done)}
        click.echo(json.dumps(what, indent=2))
    else:
        _print([*_found_lines(found), *_done_lines(found, verdict, done)])
    if done.left:
        click.echo(f"Embed the rest:  {program()} worker --backfill", err=True)


def _found_lines(found: Found) -> list[tuple[str, str]]:
    counted, told = found.survey, found.layout.vectorizer
    widths = ", ".join(f"{n:,} of {width} dimensions" for width, n in counted.widths.items())
    lines = [
        ("table", found.layout.title),
        ("made by", found.layout.kind),
        ("rows", f"{counted.rows:,} of {counted.documents:,} documents"),
        ("vectors", widths or "none"),
        ("without vector", f"{counted.rows - counted.vectors:,}"),
        ("without text", f"{counted.empty:,}"),
        ("model", f"{found.model.model}, {found.model.dimensions} dimensions"),
    ]
    if told:
        lines.append(("pgai's catalog", f"{told.source}, {told.model}, text {told.template!r}"))
    if found.lead:
        lines.append(("prefix", f"{found.lead!r} before each text"))
    return lines


def _done_lines(found: Found, verdict: Verdict, done: Adopted) -> list[tuple[str, str]]:
    differing = len(verdict.differing) + len(verdict.unanswered)
    lines = [
        (
            "sample",
            f"{verdict.compared} embedded again, {differing} differ, lowest cosine"
            f" {verdict.lowest:.4f}",
        ),
        ("source", found.target.source),
        ("documents", f"{done.documents:,}, {done.changed:,} of them new or changed"),
        ("chunks", f"{done.chunks:,}"),
        ("vectors copied", f"{done.copied:,}"),
        ("there before", f"{done.present:,}"),
        ("normalised", f"{done.normalised:,}"),
        ("left to embed", f"{done.left:,}"),
    ]
    if done.empty:
        lines.append(("no text", f"{done.empty:,}: {', '.join(done.empty_ids)}"))
    if done.refused:
        lines.append(("no vector", f"{done.refused:,} unusable: {', '.join(done.refused_ids)}"))
    if done.vanished:
        lines.append(("gone there", f"{done.vanished:,} documents adopted earlier; they are kept"))
    return lines


def _print(lines: Sequence[tuple[str, str]]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(name, value)
    Console(highlight=False).print(table)
