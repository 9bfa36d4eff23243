"""All generations as an operator sees them: how complete, how large, and what they wait for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.embeddings import Coverage
from ingestion_assets.store.generations.activation import Schedule, Standing, schedule, standing
from ingestion_assets.store.generations.generation import Generation, find
from ingestion_assets.store.index import IndexState, index_state

_ALL = """
SELECT generation_id, status IN ('active', 'building') OR status = 'retired' AND maintained
           AND drop_after > now() AS is_filled,
       created_at, activated_at, drop_after,
       coalesce(pg_total_relation_size(to_regclass('ingestion.embeddings_' || generation_id)), 0)
           AS bytes
FROM ingestion.generations ORDER BY generation_id
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """One generation.

    Attributes:
        is_filled: whether new and changed texts go to it.
        coverage: counted exactly; none once it is dropped.
        bytes: of its table and indexes.
        awaits: what is still to happen before it is active; none unless it is building.
        drop_after: when a retired one may be dropped.
    """

    generation: Generation
    is_filled: bool
    coverage: Coverage | None
    index: IndexState
    bytes: int
    schedule: Schedule
    awaits: Standing | None
    created_at: datetime
    activated_at: datetime | None
    drop_after: datetime | None

    def described(self) -> dict[str, Any]:
        """Plain values by name, as `--json` and Dagster show them."""
        made, plan = self.generation, self.schedule.plan
        return {
            "generation_id": made.generation_id,
            "status": made.status,
            "model": made.model,
            "digest": made.digest,
            "dimensions": made.dimensions,
            "shortened": made.shortened,
            "storage": made.storage,
            "document_prefix": made.document_prefix,
            "query_prefix": made.query_prefix,
            "is_filled": self.is_filled,
            "texts": self.coverage.chunks if self.coverage else None,
            "embedded": self.coverage.embedded if self.coverage else None,
            "quarantined": self.coverage.quarantined if self.coverage else None,
            "missing": self.coverage.missing if self.coverage else None,
            "index": self.index.state,
            "index_progress": self.index.progress,
            "recall": self.index.recall,
            "ef_search": self.index.ef_search,
            "bytes": self.bytes,
            "awaits": self.awaits.name.lower() if self.awaits else None,
            "coverage_needed": plan.coverage,
            "activates": plan.activate,
            "grace_days": plan.grace_days,
            "golden_questions": len(self.schedule.golden or ()),
            "gate": self.schedule.gate,
            "created_at": self.created_at,
            "activated_at": self.activated_at,
            "drop_after": self.drop_after,
        }


def generations(connection: Connection) -> list[Listed]:
    """All there ever were, the oldest first, as of one moment."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_ALL).fetchall()
        return [_listed(connection, row) for row in rows]


def _listed(connection: Connection, row: Mapping[str, Any]) -> Listed:
    generation = find(connection, row["generation_id"])
    if generation is None:
        raise AssertionError("a generation is gone within one snapshot")
    exists = generation.status != "dropped"
    return Listed(
        generation=generation,
        is_filled=row["is_filled"],
        coverage=embeddings.coverage(connection, generation, None) if exists else None,
        index=index_state(connection, generation),
        bytes=row["bytes"],
        schedule=schedule(connection, generation),
        awaits=standing(connection, generation) if generation.status == "building" else None,
        created_at=row["created_at"],
        activated_at=row["activated_at"],
        drop_after=row["drop_after"],
    )
