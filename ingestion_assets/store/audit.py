"""The tables in, what disagrees in them out; on a million documents in a few seconds.

What looks at all tables reads their keys alone; what has to read rows looks at a random sample of a
large table. `snapshot` makes the figures of several questions agree.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage import chunks, ledger, vectors
from ingestion_assets.store.damage.finding import Scope
from ingestion_assets.store.damage.rows import composed, parameters
from ingestion_assets.store.generations import Generation

SAMPLE = 16 * 1024 * 1024  # bytes; a smaller table is looked at as a whole

_LISTED = "SELECT document, what FROM ({query}) f ORDER BY document LIMIT %(limit)s"

# Every chunk has a vector, or waits in the ledger, or is superseded, and nothing else has a vector
# or waits: two sets that are equal if their sizes are, and the sums of their hashes.
_TOTALS = """
SELECT documents, chunks, vectors, ledger, quarantined,
       chunks = vectors + bare AND chunks_sum = vectors_sum # bare_sum AS agree
FROM (SELECT count(*) AS documents FROM ingestion.documents) d,
     (SELECT count(*) AS chunks, coalesce(bit_xor(uuid_hash_extended(chunk_id, 0)), 0) AS chunks_sum
      FROM ingestion.chunks) c,
     (SELECT count(*) AS vectors,
             coalesce(bit_xor(uuid_hash_extended(chunk_id, 0)), 0) AS vectors_sum FROM {table}) v,
     (SELECT count(*) AS ledger, count(*) FILTER (WHERE quarantined) AS quarantined
      FROM ingestion.ledger WHERE generation_id = %(generation)s) l,
     (SELECT count(*) AS bare, coalesce(bit_xor(uuid_hash_extended(chunk_id, 0)), 0) AS bare_sum
      FROM (SELECT chunk_id FROM ingestion.ledger WHERE generation_id = %(generation)s
            UNION SELECT chunk_id FROM ingestion.chunks WHERE superseded) w
      WHERE NOT EXISTS (SELECT FROM {table} e WHERE e.chunk_id = w.chunk_id)) b
"""
_WITHOUT_DOCUMENT = """
SELECT 'document ' || c.document_id AS document, 'has chunks, but is gone' AS what
FROM ingestion.chunks c
WHERE NOT EXISTS (SELECT FROM ingestion.documents d WHERE d.document_id = c.document_id)
GROUP BY c.document_id LIMIT %(limit)s
"""
_TOO_LONG = """
SELECT d.source || '/' || d.uri AS document,
       c.tokens || ' tokens at position ' || c.ordinal AS what
FROM (
    SELECT document_id, ordinal, tokens, superseded FROM ingestion.chunks
    WHERE partition_key = %(key)s
    UNION
    SELECT document_id, ordinal, tokens, superseded
    FROM ingestion.chunks TABLESAMPLE SYSTEM (%(percent)s)
) c JOIN ingestion.documents d USING (document_id)
WHERE c.tokens > %(room)s AND NOT c.superseded ORDER BY c.tokens DESC LIMIT %(limit)s
"""
_QUARANTINED = """
SELECT d.source || '/' || d.uri AS document,
       count(*) || ' texts: ' || string_agg(DISTINCT l.error_class, ', ') AS what
FROM ingestion.ledger l
JOIN ingestion.chunks c USING (chunk_id) JOIN ingestion.documents d USING (document_id)
WHERE l.generation_id = %(generation)s AND l.quarantined
GROUP BY d.source, d.uri ORDER BY count(*) DESC, 1 LIMIT %(limit)s
"""
_WAITING = """
SELECT d.source || '/' || d.uri AS document,
       count(*) || ' texts, for ' || round(max(l.seconds) / 3600, 1) || ' hours' AS what
FROM (
    SELECT chunk_id, extract(epoch FROM now() - enqueued_at) AS seconds FROM ingestion.ledger
    WHERE generation_id = %(generation)s AND NOT quarantined
      AND enqueued_at < now() - make_interval(secs => %(seconds)s)
    ORDER BY enqueued_at LIMIT 10000
) l
JOIN ingestion.chunks c USING (chunk_id) JOIN ingestion.documents d USING (document_id)
WHERE NOT c.superseded
GROUP BY d.source, d.uri ORDER BY max(l.seconds) DESC, 1 LIMIT %(limit)s
"""
_OLDEST = """
SELECT coalesce(extract(epoch FROM now() - min(enqueued_at)), 0)::float8 FROM ingestion.ledger
WHERE generation_id = %s AND NOT quarantined
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        document: source and uri; the id of what has no document.
    """

    document: str
    what: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Rows of the tables; vectors and ledger are those of one generation.

    Attributes:
        agree: every chunk has a vector or a row in the ledger, and nothing else has.
    """

    documents: int
    chunks: int
    vectors: int
    ledger: int
    quarantined: int
    agree: bool


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """While it lasts, all questions are about one moment, whatever is written meanwhile."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def totals(connection: Connection, generation: Generation) -> Totals:
    """How many rows there are of everything."""
    query = sql.SQL(_TOTALS).format(table=generation.table)
    with connection.cursor(row_factory=class_row(Totals)) as cursor:
        found = cursor.execute(query, {"generation": generation.generation_id}).fetchone()
    return found or Totals(0, 0, 0, 0, 0, True)


def misplaced(connection: Connection, partition_key: str | None, limit: int) -> list[Finding]:
    """Chunks without a document, in another partition than it, or two in one position of it.

    Args:
        partition_key: none means everywhere; then only those without a document are found.
    """
    if partition_key is None:
        return _findings(connection, _WITHOUT_DOCUMENT, limit)
    given = {**Scope().parameters(), "key": partition_key, "limit": limit}
    return _listed(connection, composed(chunks.OUT_OF_PLACE), given)


def disagreements(connection: Connection, generation: Generation, limit: int) -> list[Finding]:
    """What is in one of chunks, vectors and ledger, and not in the others; some, if many.

    It takes a while on a million documents: ask only if the totals do not agree.
    """
    found: list[Finding] = []
    for query in (vectors.FORGOTTEN, vectors.WITHOUT_CHUNK, ledger.WITHOUT_CHUNK):
        if len(found) < limit:
            given = {**parameters(generation), "limit": limit - len(found)}
            found += _listed(connection, composed(query, generation), given)
    return found


def unsound(connection: Connection, generation: Generation, limit: int) -> list[Finding]:
    """Vectors of a wrong width, not of unit length, or of another text; of a sample."""
    percent = sampled_percent(connection, generation.table)
    given = {**parameters(generation), "percent": percent, "limit": limit}
    return _listed(connection, composed(vectors.UNSOUND, generation), given)


def too_long(
    connection: Connection, partition_key: str | None, room: int, limit: int
) -> list[Finding]:
    """Chunks with more tokens than the model reads, in a partition and in a sample of all."""
    percent = sampled_percent(connection, sql.Identifier("ingestion", "chunks"))
    return _findings(connection, _TOO_LONG, limit, key=partition_key, percent=percent, room=room)


def quarantined(connection: Connection, generation: Generation, limit: int) -> list[Finding]:
    """Documents with texts in quarantine, those with most of them first."""
    return _findings(connection, _QUARANTINED, limit, generation)


def waiting(
    connection: Connection, generation: Generation, seconds: float, limit: int
) -> list[Finding]:
    """Documents with texts that have waited so long for a vector, the oldest first."""
    return _findings(connection, _WAITING, limit, generation, seconds=seconds)


def oldest_wait(connection: Connection, generation: Generation) -> float:
    """Seconds that some text has waited for its vector; those in quarantine wait for none."""
    row = connection.execute(_OLDEST, (generation.generation_id,)).fetchone()
    return float(row[0]) if row else 0.0


def _listed(
    connection: Connection, query: sql.SQL | sql.Composed, given: Mapping[str, Any]
) -> list[Finding]:
    with connection.cursor(row_factory=class_row(Finding)) as cursor:
        return cursor.execute(sql.SQL(_LISTED).format(query=query), given).fetchall()


def _findings(
    connection: Connection,
    query: LiteralString,
    limit: int,
    generation: Generation | None = None,
    **given: Any,
) -> list[Finding]:
    composed: sql.SQL | sql.Composed = sql.SQL(query)
    if generation is not None:
        composed = sql.SQL(query).format(table=generation.table)
        given["generation"] = generation.generation_id
    with connection.cursor(row_factory=class_row(Finding)) as cursor:
        return cursor.execute(composed, {"limit": limit, **given}).fetchall()


def sampled_percent(connection: Connection, table: sql.Identifier) -> float:
    """The share of a table that makes a sample, by its size: that is known without statistics."""
    row = connection.execute(
        "SELECT pg_relation_size(%s::regclass)", (table.as_string(connection),)
    ).fetchone()
    return min(100.0, 100.0 * SAMPLE / max(row[0] if row else 0, 1))
