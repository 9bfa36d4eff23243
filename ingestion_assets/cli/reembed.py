"""`ingest reembed`: another model, or another way of using it, beside the one that is searched."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import click

from ingestion_assets.cli.program import program
from ingestion_assets.cli.services import require_store, services
from ingestion_assets.embedding import Identity, Ollama
from ingestion_assets.errors import ConfigError, ModelMismatchError
from ingestion_assets.local.services import Services
from ingestion_assets.retrieval import golden as questions
from ingestion_assets.retrieval.recipes import recipe
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Generation, Plan, Recipe, active
from ingestion_assets.store.generations.opening import reembed as open_beside


@click.command(short_help="Embed everything with another model, then search that.")
@click.option("--model", required=True, metavar="MODEL", help="As Ollama names it.")
@click.option(
    "--dimensions",
    type=click.IntRange(1, 16_000),
    metavar="N",
    help="Shorten the vectors; for models that were trained for it.",
)
@click.option(
    "--storage",
    type=click.Choice(["vector", "halfvec"]),
    help="halfvec stores half as many bytes; it is taken above 2,000 dimensions anyway.",
)
@click.option("--prefix", help="Before every text, instead of the model's own.")
@click.option("--query-prefix", help="Before every question, instead of the model's own.")
@click.option(
    "--coverage",
    type=click.FloatRange(0.5, 1.0),
    default=1.0,
    show_default=True,
    help="Share of the texts that must have their vector, those in quarantine left out.",
)
@click.option(
    "--golden",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Questions with the uris they should find: JSON lines, or CSV.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0.0, 1.0),
    default=0.02,
    show_default=True,
    help="By which hit rate and nDCG of these may be lower than now.",
)
@click.option("--activate/--no-activate", default=True, help="Whether it is searched by itself.")
@click.option(
    "--grace",
    type=click.FloatRange(0, 3650),
    metavar="DAYS",
    help="Keep the present one complete so long, instead of INGEST_GENERATION_GRACE.",
)
def reembed(  # noqa: PLR0913  one for each option
    *,
    model: str,
    dimensions: int | None,
    storage: str | None,
    prefix: str | None,
    query_prefix: str | None,
    coverage: float,
    golden: Path | None,
    tolerance: float,
    activate: bool,
    grace: float | None,
) -> None:
    """Open a generation of embeddings beside the one that is searched.

    Runs and workers fill it behind their other work; new and changed documents go to both. When it
    is filled, indexed if the other one is, and finds the golden questions as well, it is searched:
    `ingest generations` shows how far it is. Nothing is missing from an answer meanwhile.
    """
    settings = Settings.from_environment()
    require_store(settings)
    days = settings.generation_grace if grace is None else grace
    plan = Plan(coverage, activate, days, tolerance)
    asked = questions.read(golden) if golden else None
    with services(settings) as running:
        identity = asyncio.run(_identify(settings, running, model))
        wanted = recipe(
            identity,
            dimensions=dimensions,
            halved=storage == "halfvec",
            document_prefix=prefix,
            query_prefix=query_prefix,
        )
        if storage == "vector" and wanted.storage != storage:
            raise ConfigError(
                f"vectors of {wanted.dimensions} dimensions are stored as halfvec, so that they can"
                " be indexed; leave out --storage, or shorten them with --dimensions"
            )
        opened = _open(running, wanted, plan, asked)
    _tell(opened, plan, golden=bool(asked))


async def _identify(settings: Settings, running: Services, model: str) -> Identity:
    """What all servers say of the model.

    Raises:
        OllamaError: one does not have it, or is down.
        ModelMismatchError: they have different ones of that name.
    """
    hosts = settings.ollama_hosts or (running.ollama_host,)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Ollama(host, api_key=settings.ollama_api_key))
            for host in hosts
        ]
        said = [await client.identify(model) for client in clients]
    for host, other in zip(hosts, said, strict=True):
        if other.digest != said[0].digest:
            raise ModelMismatchError(
                host,
                model,
                f"{model!r} is {other.digest[:12]} at {host} and {said[0].digest[:12]} at"
                f" {hosts[0]}; run `ollama pull {model}` on both",
            )
    return said[0]


def _open(
    running: Services, wanted: Recipe, plan: Plan, asked: list[dict[str, object]] | None
) -> Generation:
    with connect(running.database_url) as connection:
        searched = active(connection)
        if searched is None:
            raise ConfigError(
                f"nothing is embedded yet: set INGESTION_MODEL={wanted.model} and run `ingest run`"
            )
        opened = open_beside(connection, wanted, plan, asked)
    if opened.status == "active":
        raise ConfigError(
            f"generation {opened.generation_id} is made in this very way, and it is searched; name"
            " another model, other dimensions, storage or prefixes"
        )
    return opened


def _tell(opened: Generation, plan: Plan, *, golden: bool) -> None:
    click.echo(opened.generation_id)
    conditions = [f"{plan.coverage:.0%} of the texts have their vector"]
    conditions += ["it finds the golden questions as well"] if golden else []
    then = f"when {' and '.join(conditions)}"
    click.echo(
        f"Generation {opened.generation_id} is open: {opened.model},"
        f" {opened.dimensions} dimensions, {opened.storage}. Searches go on in the present one.",
        err=True,
    )
    if plan.activate:
        click.echo(f"It is searched {then}.", err=True)
    else:
        command = f"{program()} generations activate {opened.generation_id}"
        click.echo(f"Activate it {then}:  {command}", err=True)
    click.echo(
        f"A worker or `ingest up` fills it; or do so now:  {program()} run\n"
        f"See how far it is:  {program()} generations",
        err=True,
    )
