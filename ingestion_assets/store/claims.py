"""Who embeds what: texts are claimed from the ledger, by one owner at a time.

A claim waits for nobody. What is claimed is left alone by others until its owner stores the vector,
records why there is none, or gives it back; or until the owner's lease ends, because it died.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.chunks.chunk import embedded_text
from ingestion_assets.store import embeddings, ledger
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.ledger import Failed

LEASE = 60.0  # seconds; to be renewed well before
CHANNEL = "ingestion_ledger"  # notified when something is enqueued or given back

_BEFORE_ALL, _AFTER_ALL = UUID(int=0), UUID(int=2**128 - 1)
_PAGE = 1000

_REGISTER = """
INSERT INTO ingestion.owners (owner, lease_until)
VALUES (%(owner)s, now() + make_interval(secs => %(lease)s))
ON CONFLICT (owner) DO UPDATE SET lease_until = EXCLUDED.lease_until
"""
# The row's own lease counts too: a row that was claimed since the statement began is looked at as
# it is now, but the lease of an owner who is new since then cannot be seen.
FREE = """(l.state <> 'processing' OR l.lease_until <= now() AND NOT EXISTS (
    SELECT FROM ingestion.owners o WHERE o.owner = l.owner AND o.lease_until > now()))"""
# Left alone, the planner sorts all that waits for every claim while it has no statistics, as in a
# first load.
_SETTINGS = "SET LOCAL synchronous_commit = off; SET LOCAL enable_sort = off"
# Of equal texts one is embedded; the others get a copy of its vector later.
_OLDEST = """
SELECT DISTINCT ON (content_hash) chunk_id FROM (
    SELECT l.chunk_id, l.content_hash FROM ingestion.ledger l
    WHERE l.generation_id = %(generation)s AND NOT l.quarantined
      AND coalesce(l.not_before, l.enqueued_at) <= now() AND {free}
    ORDER BY coalesce(l.not_before, l.enqueued_at) LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) oldest ORDER BY content_hash
"""
_END_OF_PAGE = """
SELECT chunk_id FROM ingestion.chunks WHERE partition_key = %(key)s AND chunk_id > %(after)s
ORDER BY chunk_id OFFSET %(limit)s - 1 LIMIT 1
"""
_OF_PAGE = """
SELECT l.chunk_id FROM ingestion.ledger l
WHERE l.generation_id = %(generation)s AND {wanted} AND {free} AND l.chunk_id = ANY(ARRAY(
    SELECT chunk_id FROM ingestion.chunks
    WHERE partition_key = %(key)s AND chunk_id > %(after)s AND chunk_id <= %(end)s))
FOR UPDATE SKIP LOCKED
"""
_FAILED = "l.state = 'error'"
# In other words than the index `ledger_ready` uses: without statistics, the planner would read all
# of it rather than the page's rows by their key.
_UNLESS_QUARANTINED = "(l.state <> 'error' OR NOT l.quarantined)"
_CLAIM = """
WITH due AS ({due}), claimed AS (
    UPDATE ingestion.ledger SET state = 'processing', quarantined = false, owner = %(owner)s,
        lease_until = now() + make_interval(secs => %(lease)s), attempts = attempts + 1
    WHERE generation_id = %(generation)s AND chunk_id = ANY(ARRAY(SELECT chunk_id FROM due))
    RETURNING chunk_id, content_hash
)
SELECT c.chunk_id, c.content_hash, coalesce(s.config ->> 'prefix', %(prefix)s),
       coalesce(c.context, c.heading), c.text, c.tokens,
       c.superseded OR c.content_hash <> claimed.content_hash
                 OR EXISTS (SELECT FROM {table} e WHERE e.content_hash = c.content_hash)
                 OR {hopeless}
FROM claimed
JOIN ingestion.chunks c USING (chunk_id)
JOIN ingestion.documents d USING (document_id)
JOIN ingestion.sources s ON s.name = d.source
"""
_QUARANTINED = """EXISTS (
    SELECT FROM ingestion.ledger twin
    WHERE twin.generation_id = %(generation)s AND twin.content_hash = c.content_hash
      AND twin.quarantined AND twin.error_class IS NOT NULL
)"""
_RELEASE = """
WITH held AS (
    SELECT l.generation_id, l.chunk_id FROM {held}
    WHERE l.owner = %(owner)s AND l.state = 'processing' FOR UPDATE OF l SKIP LOCKED
), released AS (
    UPDATE ingestion.ledger l SET owner = NULL, lease_until = NULL,
        state = CASE WHEN l.error_class IS NULL THEN 'pending' ELSE 'error' END,
        attempts = greatest(attempts - 1, 0)
    FROM held WHERE l.chunk_id = held.chunk_id AND l.generation_id = held.generation_id
    RETURNING 1
)
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify(%(channel)s, '') END FROM released
"""
_HELD = "ingestion.ledger l"
_HELD_IN_PARTITION = """ingestion.chunks c JOIN ingestion.ledger l
    ON l.chunk_id = c.chunk_id AND c.partition_key = %(key)s"""
_FORGET = """
DELETE FROM ingestion.owners o USING (
    SELECT owner FROM ingestion.owners
    WHERE owner = %s OR lease_until < now() - interval '1 day' FOR UPDATE SKIP LOCKED
) gone WHERE o.owner = gone.owner
"""
_LEFT = """
SELECT count(*) FILTER (WHERE NOT {free} AND l.owner <> %(owner)s) AS in_hand,
       count(*) FILTER (WHERE {free} AND l.state <> 'error') AS pending
FROM ingestion.chunks c JOIN ingestion.ledger l USING (chunk_id)
WHERE c.partition_key = %(key)s AND l.generation_id = %(generation)s
"""
_DEPTH = """
SELECT count(*) FILTER (WHERE state = 'pending') AS pending,
       count(*) FILTER (WHERE state = 'processing') AS processing,
       count(*) FILTER (WHERE state = 'error' AND NOT quarantined) AS failed,
       count(*) FILTER (WHERE quarantined) AS quarantined,
       coalesce(extract(epoch FROM now() - min(enqueued_at) FILTER (WHERE state <> 'error')),
                0)::float AS oldest_seconds
FROM ingestion.ledger WHERE generation_id = %s
"""
_WAITS = """
SELECT EXISTS (SELECT FROM ingestion.ledger
               WHERE generation_id = %s AND NOT quarantined
                 AND coalesce(not_before, enqueued_at) <= now())
"""


@dataclass(frozen=True, slots=True)
class Depth:
    """How many texts have no vector, by state.

    Attributes:
        failed: to be tried again when their time has come.
        quarantined: left alone, because the text itself is at fault.
        oldest_seconds: since the one that waits longest was enqueued; failed ones apart.
    """

    pending: int
    processing: int
    failed: int
    quarantined: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Left:
    """Texts of a partition that a run did not take, or gave back.

    Attributes:
        in_hand: others are embedding them.
        pending: nobody is.
    """

    in_hand: int
    pending: int


def claim(
    connection: Connection, generation: Generation, owner: str, *, limit: int, lease: float = LEASE
) -> list[Text]:
    """The texts that have waited longest, now in the owner's hands; none if nothing is to be done.

    Texts that need no embedding are settled on the way: one whose vector is stored for an equal
    text gets a copy of it, one that is quarantined elsewhere is so here.

    Args:
        owner: names a process; no two at work have the same name.
        limit: texts at most.
        lease: seconds.
    """
    query = _query(generation, _OLDEST, hopeless=_QUARANTINED)
    page = {"owner": owner, "lease": lease, "limit": limit, **_of(generation)}
    while True:
        with _claiming(connection, page):
            texts, settled = _claimed(connection, query, page)
        _settle(connection, generation, settled)
        if texts or not settled:
            return texts


def pages(
    connect: Callable[[], AbstractContextManager[Connection]],
    generation: Generation,
    partition_key: str,
    *,
    only_failed: bool = False,
) -> Iterator[list[Text]]:
    """Pages of a partition's texts, claimed for its run as they are asked for, ordered by id.

    What failed in passing is taken at once, but every text only once. What needs no embedding is
    left to the end of the run. No connection is held between two pages.

    Args:
        only_failed: texts that failed and no others, quarantined or not.
    """
    wanted = sql.SQL(_FAILED if only_failed else _UNLESS_QUARANTINED)
    hopeless = "false" if only_failed else _QUARANTINED
    query = _query(generation, _OF_PAGE, wanted=wanted, hopeless=hopeless)
    page = {"owner": run_owner(partition_key), "lease": LEASE, "limit": _PAGE, **_of(generation)}
    page |= {"key": partition_key, "end": _BEFORE_ALL}
    while page["end"] != _AFTER_ALL:
        page["after"] = page["end"]
        with connect() as connection, _claiming(connection, page):
            row = connection.execute(_END_OF_PAGE, page, binary=True).fetchone()
            page["end"] = row[0] if row else _AFTER_ALL
            texts, _ = _claimed(connection, query, page)
        if texts:
            yield texts


def run_owner(partition_key: str) -> str:
    """The owner for whom a partition's run claims; the partition's lock lets there be only one."""
    return f"run {partition_key}"


def renew(connection: Connection, owner: str, lease: float = LEASE) -> None:
    """Prolong the lease of all that an owner has in hand."""
    connection.execute(_REGISTER, {"owner": owner, "lease": lease})


def release(connection: Connection, owner: str, partition_key: str | None = None) -> int:
    """Give back what an owner has in hand, as if it had not been tried; returns how many.

    Args:
        partition_key: where all of it is, if that is known: the rest need not be looked at.
    """
    held = sql.SQL(_HELD if partition_key is None else _HELD_IN_PARTITION)
    given = {"owner": owner, "key": partition_key, "channel": CHANNEL}
    with connection.transaction():
        row = connection.execute(sql.SQL(_RELEASE).format(held=held), given).fetchone()
        connection.execute(_FORGET, (owner,))
    return row[0] if row else 0


def complete(connection: Connection, generation: Generation, vectors: Vectors) -> int:
    """Store vectors of claimed texts, and drop what they replace; returns how many were stored.

    The rest have changed or gone meanwhile.

    Raises:
        DimensionError: the vectors have another length than the generation's.
    """
    stored = embeddings.write(connection, generation, vectors)
    embeddings.replace(connection, generation, vectors.ids)
    return stored


def fail(connection: Connection, generation: Generation, failures: Sequence[Failed]) -> int:
    """Record why claimed texts got no vector, each at most once; returns how many were recorded."""
    recorded = ledger.record(connection, generation, failures)
    embeddings.replace(connection, generation, [failure.chunk_id for failure in failures])
    return recorded


def left(connection: Connection, generation: Generation, partition_key: str) -> Left:
    """What a partition's run leaves to others, or leaves over."""
    given = {
        "key": partition_key,
        "generation": generation.generation_id,
        "owner": run_owner(partition_key),
    }
    with connection.cursor(row_factory=class_row(Left)) as cursor:
        found = cursor.execute(sql.SQL(_LEFT).format(free=sql.SQL(FREE)), given).fetchone()
    return found or Left(0, 0)


def depth(connection: Connection, generation: Generation) -> Depth:
    """How many texts have no vector in a generation, by state, and how long they have waited."""
    with connection.cursor(row_factory=class_row(Depth)) as cursor:
        found = cursor.execute(_DEPTH, (generation.generation_id,)).fetchone()
    return found or Depth(0, 0, 0, 0, 0.0)


def waits(connection: Connection, generation: Generation) -> bool:
    """Whether a claim may bring something, now; says so without counting."""
    row = connection.execute(_WAITS, (generation.generation_id,)).fetchone()
    return row is not None and bool(row[0])


@contextmanager
def _claiming(connection: Connection, page: dict[str, Any]) -> Iterator[None]:
    """A transaction that neither waits for the disk nor sorts, for an owner with a lease."""
    with connection.transaction():
        connection.execute(_SETTINGS)
        connection.execute(_REGISTER, page)
        yield


def _query(
    generation: Generation, due: LiteralString, *, hopeless: LiteralString, **parts: sql.SQL
) -> sql.Composed:
    return sql.SQL(_CLAIM).format(
        due=sql.SQL(due).format(free=sql.SQL(FREE), **parts),
        table=generation.table,
        hopeless=sql.SQL(hopeless),
    )


def _of(generation: Generation) -> dict[str, Any]:
    return {"generation": generation.generation_id, "prefix": generation.document_prefix}


def _claimed(
    connection: Connection, query: sql.Composed, page: dict[str, Any]
) -> tuple[list[Text], list[UUID]]:
    """The texts to embed, ordered by id, and the chunks that turn out to need no embedding."""
    rows = connection.execute(query, page, binary=True).fetchall()
    texts = [
        Text(chunk, hashed, prefix + embedded_text(context, text), tokens)
        for chunk, hashed, prefix, context, text, tokens, is_settled in rows
        if not is_settled
    ]
    return sorted(texts, key=lambda text: text.chunk_id.int), [row[0] for row in rows if row[-1]]


def _settle(connection: Connection, generation: Generation, ids: Sequence[UUID]) -> None:
    """Give claimed chunks what equal texts have, and forget those that wait for nothing."""
    if ids:
        embeddings.reuse(connection, generation, ids)
        ledger.quarantine_twins(connection, generation, ids)
        ledger.sweep(connection, generation, ids)
        embeddings.replace(connection, generation, ids)
