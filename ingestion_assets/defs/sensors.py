"""Sensors: what Dagster notices by itself."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import monotonic, time

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG, RUN_KEY_TAG

from ingestion_assets.defs.failures import named
from ingestion_assets.defs.jobs import UNDER_WAY, embed_job, ingest_job
from ingestion_assets.defs.partitions import partitions
from ingestion_assets.defs.resources import CatalogResource, StoreResource
from ingestion_assets.defs.upkeep import see_to
from ingestion_assets.errors import SourceError
from ingestion_assets.sources import Source, listing
from ingestion_assets.sources.origin import Found
from ingestion_assets.store import documents, looks
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.due import due

MOST_RUNS = 50  # of a tick; each costs Dagster almost half a second of the tick's minute
SCAN_SECONDS = 1.5  # after which the rest of the sources waits for the next tick
WAITED_SECONDS = (
    60.0  # that a text lies in the ledger before a run is asked for; workers are faster
)


@dataclass(frozen=True, slots=True)
class Position:
    """Where the scan of the sources stands.

    Attributes:
        next: the source to begin with.
        digests: of every partition a run was asked for, as it was then.
        looked_at: when each source was last listed, by its settings, in seconds since 1970.
    """

    next: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    looked_at: dict[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> "Position":
        """Read a cursor; one that is no cursor of ours is a beginning."""
        try:
            read = json.loads(cursor or "")
            return cls(
                str(read["next"]),
                {str(k): str(v) for k, v in read["digests"].items()},
                {str(k): float(v) for k, v in read.get("looked_at", {}).items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def dump(self) -> str:
        """The cursor."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def due(self, source: Source, now: float) -> bool:
        """Whether it is time to list a source."""
        return now - self.looked_at.get(listing.mark(source), 0.0) >= (
            listing.interval(source) or 0.0
        )


@dg.sensor(
    job=ingest_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs the partitions with new, changed and deleted documents.",
)
def documents_changed(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, store: StoreResource
) -> dg.SensorResult:
    """Compare every source's documents, by name, size and time, with those of the last request.

    What differs is compared with what is stored: `ingest run` or a backfill may have been there.
    """
    see_to(context.instance)  # where no command of ours has started Dagster
    sources, position = catalog.sources(), Position.parse(context.cursor)
    scan = _scan(_rotated(sources, position.next), position)
    position = _with_stored(position, sources, scan, store)
    changed = [key for key, found in scan.digests.items() if position.digests.get(key) != found]
    busy = partitions_under_way(context.instance)
    asked = [key for key in changed if key not in busy][:MOST_RUNS]
    left = [key for key in changed if key not in asked]
    return dg.SensorResult(
        run_requests=_requests(context.instance, asked, scan.digests, position),
        dynamic_partitions_requests=_additions(context.instance, sources),
        cursor=_advanced(position, sources, scan, asked, left).dump(),
        skip_reason=None if asked else _reason(scan, busy.intersection(changed)),
    )


@dg.sensor(
    job=embed_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs the embeddings of partitions whose chunks wait though nobody is at work.",
)
def ledger_sweep(
    context: dg.SensorEvaluationContext, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Ask for what a worker would have embedded: chunks that have waited for a minute."""
    waiting = store.call(due, seconds=WAITED_SECONDS, limit=MOST_RUNS, failed=False)
    busy = partitions_under_way(context.instance)
    known = context.instance.get_dynamic_partitions(partitions.name or "")  # not attached tables'
    asked = [d for d in waiting if d.partition_key in known and d.partition_key not in busy]
    if not asked:
        return dg.SkipReason(
            f"{sum(found.texts for found in waiting)} texts wait, and runs are under way for them"
            if waiting
            else f"no text has waited longer than {WAITED_SECONDS:.0f} s"
        )
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"{found.partition_key}:{found.newest.timestamp()}:{found.texts}",
                partition_key=found.partition_key,
            )
            for found in asked
        ]
    )


@dg.run_failure_sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notes on the asset's page why a partition failed, and what to do.",
)
def failures_named(context: dg.RunFailureSensorContext) -> None:
    """Report an observation of every asset that failed: partition, class of error, remedy."""
    run = context.dagster_run
    partition = run.tags.get(PARTITION_NAME_TAG)
    for event in context.get_step_failure_events():
        why = named(event.step_failure_data)
        context.log.error(f"{partition or run.run_id}: {event.step_key}: {why}")
        context.instance.report_runless_asset_event(
            dg.AssetObservation(
                asset_key=str(event.step_key),
                partition=partition,
                metadata={
                    "failed because": why,
                    "class": why.partition(":")[0],
                    "what to do": "ingest run --retry-failed, or Materialize > Failed and missing",
                    "run": dg.MetadataValue.dagster_run(run.run_id),
                },
            )
        )


@dataclass(frozen=True, slots=True)
class _Scan:
    """What was seen of the sources.

    Attributes:
        looked_at: when each source was listed, by its settings, in seconds since 1970.
        next: the source that the next scan begins with.
        unreadable: sources that could not be listed, and why.
    """

    digests: dict[str, str]
    looked_at: dict[str, float]
    next: str
    unreadable: list[str]


def _scan(sources: Sequence[Source], position: Position) -> _Scan:
    """List the sources that are due one by one, until the time is up; at least one."""
    started, passed = monotonic(), 0
    looked_at: dict[str, float] = {}
    digests: dict[str, str] = {}
    unreadable: list[str] = []
    for source in sources:
        if looked_at and monotonic() - started > SCAN_SECONDS:
            break
        passed += 1
        if not position.due(source, time()):
            continue
        looked_at[listing.mark(source)] = time()
        try:
            digests |= listing.digests(source)
        except SourceError as exc:
            unreadable.append(str(exc))
    return _Scan(digests, looked_at, sources[passed % len(sources)].name, unreadable)


def _with_stored(
    position: Position, sources: Sequence[Source], scan: "_Scan", store: StoreResource
) -> Position:
    """Take partitions over that are stored as they are found."""
    digests = dict(position.digests)
    for source in sources:
        found = {k: scan.digests[k] for k in source.partition_keys() if k in scan.digests}
        changed = [k for k in found if digests.get(k) != found[k]]
        if changed:
            stored = store.call(_stored, source, changed)
            digests |= {k: found[k] for k in changed if found[k] in stored[k]}
    return replace(position, digests=digests)


def _stored(connection: Connection, source: Source, keys: Sequence[str]) -> dict[str, list[str]]:
    """The digests of partitions whose documents are found as stored, and of their latest look.

    Documents that were stored under other settings are left out: they are to be stored again.
    """
    entries = (
        Found(uri, size, modified_at, validator)
        for uri, size, modified_at, validator, content_hash in documents.listing(connection, keys)
        if source.made(content_hash)
    )
    found = listing.digests(source, entries)
    digests = {key: [found[key]] for key in keys}
    for key, at in looks.looked_at(connection, keys).items():
        digests[key].append(listing.of_time(source, at))
    return digests


def _advanced(
    position: Position,
    sources: Sequence[Source],
    scan: _Scan,
    asked: Sequence[str],
    left: Sequence[str],
) -> Position:
    """Where the next scan stands; a source of which partitions are left is looked at again."""
    digests = position.digests | {key: scan.digests[key] for key in asked}
    looked_at = position.looked_at | scan.looked_at
    keys = {key for source in sources for key in source.partition_keys()}
    settled = {listing.mark(s) for s in sources if not set(left).intersection(s.partition_keys())}
    return Position(
        position.next if left else scan.next,
        {key: found for key, found in digests.items() if key in keys},
        {mark: at for mark, at in looked_at.items() if mark in settled},
    )


def _rotated(sources: list[Source], first: str) -> list[Source]:
    start = next((n for n, source in enumerate(sources) if source.name == first), 0)
    return sources[start:] + sources[:start]


def partitions_under_way(instance: dg.DagsterInstance) -> set[str]:
    """Partitions of runs that have not ended."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))
    return {run.tags[PARTITION_NAME_TAG] for run in runs if PARTITION_NAME_TAG in run.tags}


def _requests(
    instance: dg.DagsterInstance,
    keys: Sequence[str],
    digests: dict[str, str],
    position: Position,
) -> list[dg.RunRequest]:
    """Runs of partitions; the same files are asked for once, even if the cursor is lost.

    Files that were taken away and put back have a digest that was asked for before: such a
    partition is known to have changed, since the cursor has another digest.
    """
    run_keys = {key: f"{key}:{digests[key]}" for key in keys}
    known = {key: run_key for key, run_key in run_keys.items() if key in position.digests}
    before = _runs_by_key(instance, known.values())
    return [
        dg.RunRequest(
            run_key=f"{run_key}:{before[run_key]}" if before.get(run_key) else run_key,
            partition_key=key,
        )
        for key, run_key in run_keys.items()
    ]


def _runs_by_key(instance: dg.DagsterInstance, run_keys: Collection[str]) -> dict[str, int]:
    """How many runs were asked for with each of some keys, or with a number behind it."""
    counts: dict[str, int] = {}
    for run_key in run_keys:
        numbered = [run_key, *(f"{run_key}:{n}" for n in range(1, 100))]
        runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: numbered}))
        counts[run_key] = len(runs)
    return counts


def _additions(
    instance: dg.DagsterInstance, sources: Iterable[Source]
) -> list[dg.AddDynamicPartitionsRequest]:
    """New partitions, all of a source in one request: they are neighbours then."""
    known = set(instance.get_dynamic_partitions(partitions.name or ""))
    keys = [key for source in sources for key in source.partition_keys() if key not in known]
    return [partitions.build_add_request(keys)] if keys else []


def _reason(scan: _Scan, busy: Collection[str]) -> str:
    said = [f"nothing changed in {len(scan.digests)} partitions of {len(scan.looked_at)} sources"]
    if busy:
        said = [f"{len(busy)} changed partitions are being run: {', '.join(sorted(busy)[:5])}"]
    return "; ".join([*said, *scan.unreadable])
