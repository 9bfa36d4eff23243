"""How much waits in an attached table, is in hand, and failed."""

from ingestion_assets.store.claims import Depth
from ingestion_assets.store.connection import Connection

_DEPTH = """
SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'processing'),
       count(*) FILTER (WHERE state = 'error' AND NOT quarantined),
       count(*) FILTER (WHERE state = 'error' AND quarantined),
       coalesce(extract(epoch FROM clock_timestamp()
                - min(enqueued_at) FILTER (WHERE state = 'pending')), 0)::float8
FROM ingestion.attached_rows
WHERE attachment = %s AND state IN ('pending', 'processing', 'error')
"""


def depth(connection: Connection, attachment: str) -> Depth:
    """Count the rows of an attachment that have no vector of their present text."""
    row = connection.execute(_DEPTH, (attachment,)).fetchone()
    return Depth(*row) if row else Depth(0, 0, 0, 0, 0.0)
