"""Collections in, their fingerprints and rows out: all embedded chunks of one domain and category.

Both questions are to be asked in one snapshot: then every row is of the moment that its fingerprint
was taken of.
"""

from collections.abc import Collection as Some
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation

_PAGE = 5000  # rows

# The hash is of everything a row has; two of 64 bits, since one is no name for a million rows.
_LISTING = """
SELECT domain, category, count(embedded_at) AS chunks, count(*) - count(embedded_at) AS missing,
       concat_ws('-', bit_xor(hashtextextended(text, 0)), bit_xor(hashtextextended(text, 1)))
           AS content
FROM (
    SELECT d.domain, d.category, e.embedded_at,
           ROW(c.chunk_id, c.content_hash, c.ordinal, c.tokens, c.start_offset, c.end_offset,
               e.embedded_at, d.title, d.media_type, d.metadata)::text AS text
    FROM ingestion.documents d JOIN ingestion.chunks c USING (document_id)
    LEFT JOIN {table} e ON e.chunk_id = c.chunk_id AND e.content_hash = c.content_hash
    WHERE NOT c.superseded AND (%(sources)s::text[] IS NULL OR d.source = ANY(%(sources)s))
) r
GROUP BY domain, category ORDER BY domain, category
"""
# The chunks are looked up document by document, so nothing wider than a uri is ever sorted.
_ROWS = """
SELECT d.domain, d.category, x.chunk_id, d.document_id, d.source, d.uri, d.title, d.media_type,
       x.ordinal, x.heading, x.text, x.tokens, x.start_offset, x.end_offset, x.content_hash,
       d.metadata::text, x.embedding
FROM (
    SELECT * FROM ingestion.documents
    WHERE jsonb_build_array(domain, category)::text = ANY(
              SELECT jsonb_build_array(w.domain, w.category)::text
              FROM unnest(%(domains)s::text[], %(categories)s::text[]) w (domain, category))
      AND (%(sources)s::text[] IS NULL OR source = ANY(%(sources)s))
    ORDER BY domain, category, source, uri
) d CROSS JOIN LATERAL (
    SELECT c.*, {vector} AS embedding
    FROM ingestion.chunks c
    JOIN {table} e ON e.chunk_id = c.chunk_id AND e.content_hash = c.content_hash
    WHERE c.document_id = d.document_id AND NOT c.superseded
    ORDER BY c.ordinal
) x
"""


@dataclass(frozen=True, slots=True)
class Collection:
    """All chunks of a domain and a category; none is where a document has none.

    Attributes:
        chunks: those that have the vector of their present text.
        missing: the others, which its rows leave out.
        content: changes when anything in a row of it does.
    """

    domain: str | None
    category: str | None
    chunks: int
    missing: int
    content: str

    @property
    def key(self) -> tuple[str | None, str | None]:
        """Domain and category."""
        return self.domain, self.category


class Row(NamedTuple):
    """A chunk, what it is part of, and its vector as Postgres sends it.

    Attributes:
        metadata: the document's, as JSON.
        embedding: none where vectors were not asked for.
    """

    domain: str | None
    category: str | None
    chunk_id: UUID
    document_id: UUID
    source: str
    uri: str
    title: str
    media_type: str
    ordinal: int
    heading: str
    text: str
    tokens: int
    start: int
    end: int
    content_hash: bytes
    metadata: str
    embedding: bytes | None


def listing(
    connection: Connection, generation: Generation, sources: Sequence[str]
) -> list[Collection]:
    """All collections, of the documents of some sources, or of all if none is named."""
    query = sql.SQL(_LISTING).format(table=generation.table)
    with connection.cursor(row_factory=class_row(Collection)) as cursor:
        return cursor.execute(query, {"sources": list(sources) or None}).fetchall()


def pages(
    connection: Connection,
    generation: Generation,
    wanted: Some[Collection],
    sources: Sequence[str],
    *,
    vectors: bool,
) -> Iterator[list[Row]]:
    """The rows of some collections, one collection after the other; about 5,000 at a time.

    Ordered by source, uri and position; a page may hold the end of a collection and the beginning
    of the next. To be asked in a transaction.
    """
    send = sql.Identifier(f"{generation.storage}_send")
    query = sql.SQL(_ROWS).format(
        table=generation.table,
        vector=sql.SQL("{}(e.embedding)").format(send) if vectors else sql.SQL("NULL::bytea"),
    )
    keys = {
        "domains": [collection.domain for collection in wanted],
        "categories": [collection.category for collection in wanted],
        "sources": list(sources) or None,
    }
    with connection.cursor("collections") as cursor:
        cursor.execute(query, keys, binary=True)
        while page := cursor.fetchmany(_PAGE):
            yield [Row(*row) for row in page]
