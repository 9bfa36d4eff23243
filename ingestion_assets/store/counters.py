"""What runs have counted, added up: they end before anybody could ask them."""

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from ingestion_assets.metrics import RUN_COUNTERS, Figure
from ingestion_assets.store.connection import Connection

# In one order, so that two runs cannot deadlock; a source that is not stored has counted nothing.
_ADD = """
INSERT INTO ingestion.counters AS c (source, name, labels, value)
SELECT s.name, u.name, u.labels, u.value
FROM ingestion.sources s,
     unnest(%s::text[], %s::jsonb[], %s::float8[]) AS u (name, labels, value)
WHERE s.name = %s ORDER BY u.name, u.labels
ON CONFLICT (source, name, labels) DO UPDATE SET value = c.value + EXCLUDED.value
"""


def add(connection: Connection, source: str, figures: Sequence[Figure]) -> None:
    """Add what a run has counted of a source, in a transaction of its own.

    Args:
        figures: of metrics that count runs, each once; their first label is the source.
    """
    connection.execute(
        _ADD,
        (
            [figure.name for figure in figures],
            [Jsonb(list(figure.labels[1:])) for figure in figures],
            [float(figure.value) for figure in figures],
            source,
        ),
    )


def counted(connection: Connection) -> list[Figure]:
    """All that was counted so far; what a newer version counts is left out."""
    rows = connection.execute(
        "SELECT name, source, labels, value FROM ingestion.counters ORDER BY name, source, labels"
    )
    return [
        Figure(name, (source, *labels), value)
        for name, source, labels, value in rows
        if name in RUN_COUNTERS
    ]
