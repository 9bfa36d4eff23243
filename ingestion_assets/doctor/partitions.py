"""Dagster's partition keys against those of the sources and of what is stored."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ingestion_assets.sources import Source
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import Finding, Kind, Scope, finding

_STORED = """
SELECT DISTINCT partition_key
FROM ingestion.documents d JOIN ingestion.sources s ON s.name = d.source WHERE s.kind <> 'table'
"""

MISSING = Kind(
    "partitions_missing",
    "Partitions that Dagster does not know: it runs none of them.",
    "registers them.",
)
LEFT_OVER = Kind(
    "partitions_left_over",
    "Partitions that Dagster knows, of no source and without a document.",
    "deletes the keys; nothing is stored under them.",
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Partition keys that Dagster should know and does not, and the other way round."""

    missing: Sequence[str]
    left_over: Sequence[str]

    def findings(self) -> list[Finding]:
        """What is wrong."""
        return [*finding(MISSING, self.missing), *finding(LEFT_OVER, self.left_over)]


def compare(
    connection: Connection, listed: Sequence[Source], known: Collection[str], scope: Scope
) -> Keys:
    """Compare what Dagster knows with what there is.

    Args:
        listed: all sources of sources.yaml; what is stored of others is not Dagster's to run.
    """
    wanted = [key for source in listed for key in source.partition_keys()]
    stored = {key for (key,) in connection.execute(_STORED)}
    needed, known_too = {*wanted, *stored}, {*known}
    return Keys(
        [key for key in wanted if key not in known_too and _within(key, scope)],
        sorted(key for key in known_too - needed if _within(key, scope)),
    )


def _within(key: str, scope: Scope) -> bool:
    return scope.sources is None or key.partition("/")[0] in scope.sources
