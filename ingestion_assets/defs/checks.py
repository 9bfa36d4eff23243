"""Asset checks: what a run that succeeded has left to look at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG
from pydantic import Field

from ingestion_assets.defs.assets import chunks, embeddings, sources
from ingestion_assets.defs.failures import reported
from ingestion_assets.defs.report import LISTED, table
from ingestion_assets.defs.resources import CatalogResource, StoreResource
from ingestion_assets.embedding import model_facts
from ingestion_assets.embedding.identity import SAFE_CONTEXT
from ingestion_assets.store import audit, status
from ingestion_assets.store.audit import Finding
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation, active

_SPECIAL_TOKENS = 2  # that a model puts around every text
_HOUR = 3600.0
_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


class LimitsResource(dg.ConfigurableResource[Any]):
    """What the checks put up with."""

    quarantine_share: float = Field(
        default=0.01, description="Of all texts, that may be in quarantine."
    )
    fresh_hours: float = Field(
        default=26.0, description="Hours without a look at a partition, or a vector for a text."
    )
    recall_target: float = Field(
        default=0.99, description="Of what is nearest, that approximate searches surely find."
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a check found, how bad that is, and figures that plot."""

    found: Sequence[Finding]
    severity: dg.AssetCheckSeverity
    figures: Mapping[str, Any]

    def result(self, asset: dg.AssetsDefinition, name: str) -> dg.AssetCheckResult:
        """Passed when nothing was found; else what was, as a table."""
        n = len(self.found)
        return dg.AssetCheckResult(
            asset_key=asset.key,
            check_name=name,
            passed=not n,
            severity=self.severity,
            description=f"{n}{' or more' if n == LISTED else ''} found" if n else "as it should be",
            metadata={**self.figures, "found": n, **table("findings", map(asdict, self.found))},
        )


@dg.asset_check(
    asset=sources,
    description="Every partition was compared with its documents within INGEST_FRESH_HOURS.",
)
@reported()
def every_partition_is_fresh(
    context: dg.AssetCheckExecutionContext, catalog: CatalogResource, limits: LimitsResource
) -> dg.AssetCheckResult:
    """Partitions whose latest success is too long ago; those that never ran are counted."""
    listed = {key for source in catalog.sources() for key in source.partition_keys()}
    ids = context.instance.event_log_storage.get_latest_storage_id_by_partition(
        sources.key, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    known = sorted(storage_id for key, storage_id in ids.items() if key in listed)
    hours = _hours_since(context.instance, known[:LISTED])
    stale = [
        Finding(key, f"was looked at {passed:.1f} hours ago")
        for key, passed in hours.items()
        if passed > limits.fresh_hours
    ]
    figures = {
        "oldest_hours": max(hours.values(), default=0.0),
        "never_run": len(listed) - len(known),
    }
    return _Answer(stale, _WARN, figures).result(sources, "every_partition_is_fresh")


@dg.asset_check(
    asset=chunks,
    blocking=True,
    description="Every chunk has its document, its partition, and a position of its own. If not,"
    " nothing is embedded. A partition's run looks at that partition.",
)
@reported()
def chunks_are_in_place(
    context: dg.AssetCheckExecutionContext, store: StoreResource
) -> dg.AssetCheckResult:
    """Chunks that must not be embedded: their vectors would be found, and lead nowhere."""
    partition = context.run.tags.get(PARTITION_NAME_TAG)
    found = store.call(audit.misplaced, partition, LISTED)
    answer = _Answer(found, _ERROR, {"partition": partition or "all"})
    return answer.result(chunks, "chunks_are_in_place")


class _Audit:
    """One moment of the tables, and what is asked of it."""

    def __init__(
        self,
        connection: Connection,
        generation: Generation,
        limits: LimitsResource,
        key: str | None,
    ) -> None:
        self._connection = connection
        self._generation = generation
        self._limits = limits
        self._key = key
        self._totals = audit.totals(connection, generation)

    def tables_agree(self) -> _Answer:
        found: list[Finding] = []
        if not self._totals.agree:
            found = audit.disagreements(self._connection, self._generation, LISTED)
        return _Answer(found, _ERROR, asdict(self._totals))

    def every_text_is_embedded(self) -> _Answer:
        found = [
            Finding(f"{f.source}/{f.uri}", " · ".join(filter(None, [f.error_class, f.heading])))
            for f in status.failures(self._connection, None, LISTED)
        ]
        figures = {"vectors": self._totals.vectors, "without_vector": self._totals.ledger}
        return _Answer(found, _WARN, figures)

    def vectors_are_sound(self) -> _Answer:
        found = audit.unsound(self._connection, self._generation, LISTED)
        return _Answer(found, _ERROR, {"dimensions": self._generation.dimensions})

    def no_text_is_cut(self) -> _Answer:
        context = model_facts(self._generation.model).context or SAFE_CONTEXT
        found = audit.too_long(self._connection, self._key, context - _SPECIAL_TOKENS, LISTED)
        return _Answer(found, _ERROR, {"context": context})

    def few_texts_are_quarantined(self) -> _Answer:
        share = self._totals.quarantined / max(self._totals.chunks, 1)
        too_many = share > self._limits.quarantine_share
        found = audit.quarantined(self._connection, self._generation, LISTED) if too_many else []
        return _Answer(found, _WARN, {"share": share, "quarantined": self._totals.quarantined})

    def no_text_waits_long(self) -> _Answer:
        limit = self._limits.fresh_hours * _HOUR
        found = audit.waiting(self._connection, self._generation, limit, LISTED)
        oldest = audit.oldest_wait(self._connection, self._generation)
        return _Answer(found, _WARN, {"oldest_hours": oldest / _HOUR})


_DESCRIPTIONS: Mapping[Callable[[_Audit], _Answer], str] = {
    _Audit.tables_agree: "No chunk with neither a vector nor a row in the ledger; no vector and no"
    " ledger row without a chunk.",
    _Audit.every_text_is_embedded: "No chunk of any partition has failed or is in quarantine.",
    _Audit.vectors_are_sound: "Vectors have the model's width and unit length, and are those of"
    " their chunk's present text. All of a small table, a random sample of a large one.",
    _Audit.no_text_is_cut: "No chunk has more tokens than the model reads, so nothing was cut off."
    " All of the partition, and of the whole as with the vectors.",
    _Audit.few_texts_are_quarantined: "Not more than INGEST_QUARANTINE_SHARE of all texts are in"
    " quarantine.",
    _Audit.no_text_waits_long: "No text has waited for its vector for INGEST_FRESH_HOURS.",
}


@dg.multi_asset_check(
    name="embeddings_audit",
    specs=[
        dg.AssetCheckSpec(question.__name__, asset=embeddings, description=description)
        for question, description in _DESCRIPTIONS.items()
    ],
    can_subset=True,
)
def embeddings_audit(
    context: dg.AssetCheckExecutionContext, store: StoreResource, limits: LimitsResource
) -> Iterator[dg.AssetCheckResult]:
    """All checks of the embeddings in one step, about one moment: the figures agree."""
    asked = {key.name for key in context.selected_asset_check_keys}
    key = context.run.tags.get(PARTITION_NAME_TAG)
    with reported(), store.connect() as connection, audit.snapshot(connection):
        generation = active(connection)
        looked = None if generation is None else _Audit(connection, generation, limits, key)
        for question in _DESCRIPTIONS:
            if question.__name__ in asked:
                name = question.__name__
                if looked is None:
                    yield _nothing_yet(name)
                else:
                    yield question(looked).result(embeddings, name)


def _nothing_yet(name: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=embeddings.key,
        check_name=name,
        passed=True,
        description="nothing was ever embedded",
    )


def _hours_since(instance: dg.DagsterInstance, storage_ids: Sequence[int]) -> dict[str, float]:
    """How long ago materializations were, by partition."""
    if not storage_ids:
        return {}
    wanted = dg.AssetRecordsFilter(sources.key, storage_ids=storage_ids)
    records = instance.fetch_materializations(wanted, limit=len(storage_ids)).records
    now = datetime.now(UTC).timestamp()
    return {str(record.partition_key): (now - record.timestamp) / _HOUR for record in records}
