"""The SQL of a server's slots: who holds them, and how many there should be."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from hashlib import blake2b

from psycopg.rows import class_row

from ingestion_assets.share import Tally
from ingestion_assets.store.fleet.target import Target, Window
from ingestion_assets.store.pool import AsyncConnection

BACKFILL, LIVE = 0, -1
_AT_ONCE = 1.0  # seconds within which congestion counts once for all processes

_HOLD = "SELECT slots, backfills, live FROM ingestion.hold_slots(%s, %s, %s, %s, %s)"
_OPEN = "INSERT INTO ingestion.servers (url) VALUES (%s) ON CONFLICT DO NOTHING"
_ADD = """
UPDATE ingestion.servers SET requests = requests + %(requests)s, texts = texts + %(texts)s,
    seconds = seconds + %(seconds)s
WHERE url = %(url)s
"""
_REFUSED = """
UPDATE ingestion.servers SET target = greatest(1, target * %(factor)s),
    ceiling = greatest(1, target * %(factor)s), refused_at = clock_timestamp()
WHERE url = %(url)s AND clock_timestamp() > refused_at + make_interval(secs => %(at_once)s)
"""
_WINDOW = """
SELECT requests, texts, seconds,
    extract(epoch FROM clock_timestamp() - measured_at)::float8 AS elapsed,
    extract(epoch FROM clock_timestamp() - probed_at)::float8 AS unprobed
FROM ingestion.servers WHERE url = %s FOR UPDATE
"""
_TARGET = """
SELECT target AS limit, ceiling, resume, probing, lowest FROM ingestion.servers WHERE url = %s
"""
_SET = """
UPDATE ingestion.servers SET target = %s, ceiling = %s, resume = %s, probing = %s, lowest = %s,
    requests = 0, texts = 0, seconds = 0, measured_at = clock_timestamp(),
    probed_at = CASE WHEN %s THEN clock_timestamp() ELSE probed_at END
WHERE url = %s
"""


@dataclass(frozen=True, slots=True)
class Held:
    """Slots of one server.

    Attributes:
        slots: held by this process.
        backfills: processes that want slots for a backfill.
        live: processes that want slots for somebody who waits.
    """

    slots: Sequence[int] = ()
    backfills: int = 0
    live: int = 0


def key(url: str) -> int:
    """The number that names a server among advisory locks, four bytes with a sign."""
    return int.from_bytes(blake2b(url.encode(), digest_size=4).digest(), "big", signed=True)


async def hold(
    connection: AsyncConnection,
    url: str,
    held: Sequence[int],
    candidates: Sequence[int],
    wanted: int,
    presence: int,
) -> Held:
    """Take or give back slots until so many are held, if there are as many.

    Args:
        candidates: slots that may be taken, the best one first.
        presence: `BACKFILL` or `LIVE`; what the process is counted as while it wants any.
    """
    async with connection.cursor(row_factory=class_row(Held)) as cursor:
        arguments = (key(url), list(held), list(candidates), wanted, presence)
        found = await (await cursor.execute(_HOLD, arguments)).fetchone()
    return found or Held()


async def report(connection: AsyncConnection, url: str, tally: Tally, most: int) -> float:
    """Add what this process measured; the target of all processes after it."""
    await connection.execute(_OPEN, (url,))
    figures = {"requests": tally.requests, "texts": tally.texts, "seconds": tally.seconds}
    await connection.execute(_ADD, {**figures, "url": url})
    if tally.backoff < 1:
        refused = {"factor": tally.backoff, "url": url, "at_once": _AT_ONCE}
        await connection.execute(_REFUSED, refused)
    async with connection.transaction():
        return await _measure(connection, url, most)


async def _measure(connection: AsyncConnection, url: str, most: int) -> float:
    async with connection.cursor(row_factory=class_row(Window)) as cursor:
        window = await (await cursor.execute(_WINDOW, (url,))).fetchone()
    async with connection.cursor(row_factory=class_row(Target)) as cursor:
        target = await (await cursor.execute(_TARGET, (url,))).fetchone()
    if window is None or target is None:
        return float(most)  # the table was emptied, as after a crash of Postgres
    after = target.after(window, most)
    if after is None:
        return target.limit
    probed = bool(target.probing and not after.probing)
    await connection.execute(_SET, (*astuple(after), probed, url))
    return after.limit
