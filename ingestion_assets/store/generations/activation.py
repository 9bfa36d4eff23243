"""Which generation search reads: the change is one transaction, and nothing is missing after it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from time import monotonic, sleep
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ingestion_assets.errors import GenerationError, LaggingError, StoreUnavailableError
from ingestion_assets.store import embeddings
from ingestion_assets.store.claims import CHANNEL
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations.generation import Generation, active, find, lock
from ingestion_assets.store.generations.opening import Plan
from ingestion_assets.store.index import INDEX_FROM, INDEXABLE, vector_index

logger = logging.getLogger(__name__)

_SCHEDULE = "SELECT plan, golden, gate FROM ingestion.generations WHERE generation_id = %s"
_MOMENT, _PAUSE = 5.0, 0.05  # seconds
_SETTLED = 0.99  # of the texts: the others have just come, and have no vector anywhere yet
# What waits here but not in the active generation; the ledger alone says so, and soon.
_LAGS = """
SELECT EXISTS (
    SELECT FROM ingestion.ledger l
    WHERE l.generation_id = %s AND NOT l.quarantined AND NOT EXISTS (
        SELECT FROM ingestion.ledger other JOIN ingestion.generations g USING (generation_id)
        WHERE g.status = 'active' AND other.chunk_id = l.chunk_id))
"""
_INDEXES = """
SELECT coalesce(bool_or(indisvalid) FILTER (WHERE relname = %(mine)s), false),
       coalesce(bool_or(indisvalid) FILTER (WHERE relname = %(other)s), false)
FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE relnamespace = 'ingestion'::regnamespace AND relname IN (%(mine)s, %(other)s)
"""
# What one finds by its vector now and would not find then: all but what the new model refuses.
_LOST = """
SELECT EXISTS (
    SELECT FROM ingestion.chunks c JOIN {old} USING (chunk_id, content_hash)
    LEFT JOIN {new} e USING (chunk_id)
    WHERE NOT c.superseded AND e.content_hash IS DISTINCT FROM c.content_hash
      AND NOT EXISTS (SELECT FROM ingestion.ledger l
                      WHERE l.generation_id = %s AND l.chunk_id = c.chunk_id
                        AND l.content_hash = c.content_hash AND l.quarantined))
"""
_RETIRE = """
UPDATE ingestion.generations SET status = 'retired', retired_at = now(),
    drop_after = now() + %(days)s * interval '1 day', maintained = %(days)s > 0
WHERE status = 'active'
"""
_ACTIVATE = """
UPDATE ingestion.generations SET status = 'active', activated_at = now(), retired_at = NULL,
    drop_after = NULL, maintained = false
WHERE generation_id = %s
"""
_BEFORE = """
SELECT generation_id FROM ingestion.generations
WHERE status = 'retired' AND maintained AND drop_after > now()
ORDER BY retired_at DESC, generation_id DESC LIMIT 1
"""


class Standing(Enum):
    """How far a generation is from being active; the value says what is awaited."""

    WAITING = "texts still wait for their vectors"
    UNINDEXED = "its approximate index is to be built"
    UNGATED = "the golden questions are to be asked"
    REFUSED = "it failed the golden questions"
    HELD = "it waits for `ingest generations activate`"
    READY = "nothing"
    ACTIVE = "it is active"
    GONE = "it is retired"


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is to become of a generation, as it was decided when it was opened.

    Attributes:
        golden: questions that judge it, each `query` and `uris`; none if there are none.
        gate: what came of them; none before they were asked.
    """

    plan: Plan
    golden: list[dict[str, Any]] | None
    gate: Mapping[str, Any] | None


def schedule(connection: Connection, generation: Generation) -> Schedule:
    """What is stored of a generation's plan."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SCHEDULE, (generation.generation_id,)).fetchone() or {}
    plan = Plan(**{**asdict(Plan()), **row.get("plan", {})})
    return Schedule(plan, row.get("golden"), row.get("gate"))


def standing(connection: Connection, generation: Generation) -> Standing:
    """How far a generation is; counts its vectors only when the ledger has none waiting."""
    found = find(connection, generation.generation_id)
    if found is None or found.status != "building":
        return Standing.ACTIVE if found and found.status == "active" else Standing.GONE
    decided = schedule(connection, generation)
    if not _is_covered(connection, generation, decided.plan):
        return Standing.WAITING
    if _lacks_index(connection, generation):
        return Standing.UNINDEXED
    if decided.golden and decided.gate is None:
        return Standing.UNGATED
    if decided.gate is not None and not decided.gate["passed"]:
        return Standing.REFUSED
    return Standing.READY if decided.plan.activate else Standing.HELD


def activate_when_covered(connection: Connection, generation: Generation) -> bool:
    """Make a building generation active, if all is done that its plan asks for.

    One without any vector is not: a model that can embed nothing must not empty the search.

    Returns:
        Whether the generation is active now.
    """
    found = standing(connection, generation)
    if found is not Standing.READY:
        return found is Standing.ACTIVE
    try:
        return _change(connection, generation)
    except StoreUnavailableError as exc:
        logger.warning("Generation %d is not active yet: %s", generation.generation_id, exc)
        return False


def activate(connection: Connection, generation: Generation, *, force: bool = False) -> None:
    """Make a generation active because an operator says so.

    A text that has just got its vector in the active one is waited for a moment.

    Args:
        force: though texts are missing, or it failed the golden questions.

    Raises:
        LaggingError: search would return less. Retryable.
        GenerationError: the generation is none that can be active.
        StoreUnavailableError: somebody reads or writes what is to be changed. Retryable.
    """
    if generation.status == "active":
        return
    if generation.status == "dropped":
        raise GenerationError(
            f"generation {generation.generation_id} is dropped; `ingest reembed` fills it again"
        )
    if not force:
        _check(connection, generation)
    deadline = monotonic() + _MOMENT
    while not _change(connection, generation, force=force):
        if monotonic() > deadline:
            raise LaggingError(
                f"generation {generation.generation_id} lacks texts that search finds now; have"
                " them embedded by a worker or `ingest run`, or do without them: --force"
            )
        sleep(_PAUSE)


def rollback(connection: Connection) -> Generation:
    """The generation that may become active again: what was active before, kept complete.

    Raises:
        GenerationError: none is kept.
    """
    row = connection.execute(_BEFORE).fetchone()
    found = find(connection, row[0]) if row else None
    if found is None:
        raise GenerationError(
            "no generation is kept to go back to; `ingest reembed` fills an earlier one again"
        )
    return found


def _check(connection: Connection, generation: Generation) -> None:
    number = generation.generation_id
    found = embeddings.coverage(connection, generation, None)
    if not _suffices(found, schedule(connection, generation).plan):
        raise GenerationError(
            f"generation {number} has vectors of {found.embedded:,} of {found.chunks:,} texts;"
            f" {found.missing:,} wait: `ingest run`, a worker or `ingest up` embed them"
        )
    if standing(connection, generation) is Standing.REFUSED:
        raise GenerationError(
            f"generation {number} failed the golden questions; `ingest generations` has the"
            " figures, --force activates it all the same"
        )


def _is_covered(connection: Connection, generation: Generation, plan: Plan) -> bool:
    if plan.coverage < 1:
        return _suffices(embeddings.coverage(connection, generation, None), plan)
    row = connection.execute(_LAGS, (generation.generation_id,)).fetchone()
    if row and row[0]:
        return False
    found = embeddings.coverage(connection, generation, None)
    return _suffices(found, plan) and not _loses(connection, active(connection), generation)


def _suffices(found: embeddings.Coverage, plan: Plan) -> bool:
    share = min(plan.coverage, _SETTLED)
    return found.embedded > 0 and found.missing <= (1 - share) * (found.chunks - found.quarantined)


def _loses(connection: Connection, old: Generation | None, new: Generation) -> bool:
    """Whether a text that is found by its vector now would not be found then."""
    if old is None:
        return False
    query = sql.SQL(_LOST).format(old=old.table, new=new.table)
    row = connection.execute(query, (new.generation_id,)).fetchone()
    return row is not None and bool(row[0])


def _lacks_index(connection: Connection, generation: Generation) -> bool:
    """Whether the index is missing that searches are used to, or will need."""
    if generation.dimensions > INDEXABLE[generation.storage]:
        return False
    searched = active(connection)
    names = {
        "mine": vector_index(generation),
        "other": vector_index(searched) if searched else "",
    }
    mine, other = connection.execute(_INDEXES, names).fetchone() or (False, False)
    if mine:
        return False
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(generation.table)).fetchone()
    return bool(other or (row and row[0] > INDEX_FROM))


def _change(connection: Connection, generation: Generation, *, force: bool = False) -> bool:
    """Change over in one transaction; false, and nothing done, if search would return less."""
    done = _in_time(connection, lambda: _swap(connection, generation, force=force))
    if done:
        # Not in that transaction: their rows are locked before the vectors' table by who writes.
        connection.execute("DELETE FROM ingestion.chunks WHERE superseded")
    return done


def _swap(connection: Connection, generation: Generation, *, force: bool) -> bool:
    lock(connection)
    old = active(connection)
    if old is not None and old.generation_id == generation.generation_id:
        return True
    decided = schedule(connection, generation).plan
    if old is not None and not force and decided.coverage >= 1:
        # No text gets its vector in the old one alone between the check and the change.
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(old.table))
        if _loses(connection, old, generation):
            return False
    connection.execute(_RETIRE, {"days": decided.grace_days})
    connection.execute(_ACTIVATE, (generation.generation_id,))
    connection.execute("SELECT ingestion.show_generation(%s)", (generation.generation_id,))
    connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))  # workers look what is active
    return True


def _in_time(connection: Connection, change: Callable[[], bool]) -> bool:
    """A transaction that gives up rather than let others wait behind it for a lock.

    Raises:
        StoreUnavailableError: it gave up. Retryable.
    """
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '2s'")
            return change()
    except psycopg.errors.LockNotAvailable as exc:
        raise StoreUnavailableError(
            "the generation is not changed: somebody holds a table or a view of the old one for"
            " long; try again"
        ) from exc
