"""`ingest doctor`: everything compared with everything, and mended."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from ingestion_assets.cli.completion import source_names
from ingestion_assets.cli.run import selected
from ingestion_assets.cli.services import export, require_project, require_store
from ingestion_assets.cli.summary import wrapped
from ingestion_assets.doctor import documents, examination, fidelity, partitions, reembedding
from ingestion_assets.doctor.documents import Comparison, Fingerprint, SourcesCheck
from ingestion_assets.doctor.partitions import Keys
from ingestion_assets.doctor.servers import Said, ask
from ingestion_assets.local.services import Services, local_services
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Source, load
from ingestion_assets.store import audit, claims, schema
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.damage.finding import Finding, Scope, finding
from ingestion_assets.store.damage.schema import MIGRATIONS
from ingestion_assets.store.generations import Generation, active
from ingestion_assets.worker.embedder import open_servers

SAMPLE = 50
_DEADLINE = 30.0  # seconds without any server


@click.command(short_help="Compare everything that is stored, and mend it.")
@click.argument("sources", nargs=-1, shell_complete=source_names)
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@click.option(
    "--sample",
    type=click.IntRange(0, 10_000),
    default=SAMPLE,
    show_default=True,
    metavar="N",
    help="Vectors that are compared with their texts, embedded again.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on stdout.")
def doctor(sources: tuple[str, ...], repair: bool, sample: int, as_json: bool) -> None:
    """Compare sources, documents, chunks, vectors, ledger, indexes and partitions.

    All of it, or what belongs to SOURCES. Nothing is printed where nothing is wrong. --repair
    mends in small transactions, beside running workers and runs. Exit code 0: nothing is wrong,
    or wrong any more; 1: something is left.
    """
    settings = Settings.from_environment()
    listed = load(settings.sources)
    chosen = selected(listed, {*sources})
    require_project()
    require_store(settings)
    with local_services(settings) as running:
        for note in running.notes:
            click.secho(note, dim=True, err=True)
        export(running)
        visit = _Visit(running, settings, listed, chosen if sources else None, sample)
        found = visit.examine()
        left = visit.mend() if repair and found else found
        _show(found, left, repair=repair, as_json=as_json)
        if repair and found:
            visit.say_what_waits()
    sys.exit(1 if left else 0)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found, and what mending it needs."""

    scope: Scope
    findings: Sequence[Finding]
    comparison: Comparison
    keys: Keys
    generation: Generation | None
    said: Said


class _Visit:
    """One look at everything, or two: before and after the mending."""

    def __init__(
        self,
        running: Services,
        settings: Settings,
        listed: Sequence[Source],
        chosen: Sequence[Source] | None,
        sample: int,
    ) -> None:
        # Dagster takes over a second to import.
        from ingestion_assets.defs import launch  # noqa: PLC0415

        os.environ.setdefault("DAGSTER_HOME", str(launch.prepare_home(Path.cwd())))
        self._launch, self._url = launch, running.database_url
        self._hosts = settings.ollama_hosts or (running.ollama_host,)
        self._settings, self._listed = settings, listed
        self._chosen = chosen
        self._sample = sample
        self._seen: _Seen | None = None

    def examine(self) -> list[Finding]:
        """What is wrong now."""
        with connect(self._url) as connection:
            if unfinished := schema.unfinished(connection):
                return finding(MIGRATIONS, unfinished)
            self._seen = self._look(connection)
        return list(self._seen.findings)

    def mend(self) -> list[Finding]:
        """Mend what was found, as far as possible; what is wrong afterwards."""
        if schema.migrate(self._url):
            self.examine()
        seen = self._seen
        if seen is None:
            raise AssertionError("nothing was examined")
        with connect(self._url) as connection:
            examination.mend(connection, seen.scope)
            documents.move(connection, seen.comparison.misplaced)
            if seen.generation is not None:
                reembedding.mend(connection, seen.generation, seen.said.wrong)
            self._launch.prepare_instance(seen.keys.missing)
            self._launch.forget_keys(seen.keys.left_over)
            due = self._compare(connection, seen.scope).partitions
        self._run(due)
        return self.examine()

    def _run(self, keys: Sequence[str]) -> None:
        """Run partitions, as `ingest run` does."""
        for outcome in self._launch.materialize(keys, self._launch.Work()) if keys else ():
            if outcome.error:
                click.secho(
                    wrapped(f"{outcome.partition_key}  ", outcome.error), fg="red", err=True
                )

    def say_what_waits(self) -> None:
        """What was put into the ledger is not embedded yet."""
        with connect(self._url) as connection:
            generation = active(connection)
            waiting = claims.depth(connection, generation).pending if generation else 0
        if waiting:
            click.echo(
                f"{waiting:,} texts wait for their vectors:  ingest run, or a worker", err=True
            )

    def _look(self, connection: Connection) -> _Seen:
        names = None if self._chosen is None else [source.name for source in self._chosen]
        _, before = self._launch.partition_keys()
        with audit.snapshot(connection):
            generation = active(connection)
            # A run may have begun before the snapshot, or have ended since.
            known, now = self._launch.partition_keys()
            scope = Scope(names, sorted(before | now))
            found = examination.examine(connection, scope)
            comparison = self._compare(connection, scope)
            keys = partitions.compare(connection, self._listed, known, scope)
            found += [*comparison.findings(), *keys.findings()]
            if self._chosen is None:
                found += documents.unlisted(connection, self._listed)
            sampled = (
                reembedding.sample(connection, generation, scope, self._sample)
                if generation and self._sample
                else []
            )
        said = Said((), ())
        if generation is not None and self._sample:
            said = asyncio.run(self._ask(generation, sampled))
            found += fidelity.compare(connection, generation, said.probes).findings
            found += reembedding.findings(said.wrong, len(sampled))
        return _Seen(scope, found, comparison, keys, generation, said)

    def _compare(self, connection: Connection, scope: Scope) -> Comparison:
        chosen = self._listed if self._chosen is None else self._chosen
        check = SourcesCheck(chosen, scope.busy, self._fingerprint)
        return check.compare(connection)

    @cached_property
    def _fingerprint(self) -> Fingerprint:
        from ingestion_assets.defs.resources import ChunkerResource  # noqa: PLC0415

        return ChunkerResource(
            model=self._settings.model,
            max_tokens=self._settings.chunk_tokens,
            overlap=self._settings.chunk_overlap,
        ).fingerprint

    async def _ask(self, generation: Generation, sampled: Sequence[reembedding.Sampled]) -> Said:
        async with open_servers(self._settings, self._hosts, _DEADLINE) as servers:
            return await ask(servers, generation, sampled)


def _show(
    found: Sequence[Finding], left: Sequence[Finding], *, repair: bool, as_json: bool
) -> None:
    still = {each.kind.name for each in left}
    mended = [each for each in found if each.kind.name not in still] if repair else []
    if as_json:
        listed = {"found": [_described(f) for f in left], "mended": [_described(f) for f in mended]}
        click.echo(json.dumps(listed, indent=2))
        return
    for each in left:
        _print(each)
    for each in mended:
        click.secho(f"mended {each.kind.name}: {each.count:,}", fg="green", err=True)
    if not left:
        click.echo("Nothing is wrong." if not mended else "Nothing is wrong any more.", err=True)
    elif not repair and any(each.kind.mends for each in left):
        click.echo("Mend what can be mended:  ingest doctor --repair", err=True)


def _print(found: Finding) -> None:
    click.secho(f"{found.kind.name}: {found.count:,}", bold=True)
    click.echo(wrapped("  ", found.kind.meaning))
    for example in found.examples:
        click.echo(wrapped("  - ", example))
    if found.count > len(found.examples):
        click.echo(f"  … and {found.count - len(found.examples):,} more")
    lead = "  --repair " if found.kind.mends else "  "
    click.secho(wrapped(lead, found.kind.remedy), fg="cyan")


def _described(found: Finding) -> dict[str, Any]:
    return {**asdict(found.kind), "count": found.count, "examples": found.examples}
