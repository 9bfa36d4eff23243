"""A partition of a table in, data frames out, page by page."""

from collections.abc import Iterator
from uuid import UUID

import pandas as pd
from psycopg import sql

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.copy import unpacked
from ingestion_assets.store.generations import active

PAGE = 5000  # rows of one frame
_FIRST = UUID(int=0)

_DOCUMENTS = """
SELECT document_id, source, partition_key, uri, media_type, title, text, content_hash, metadata,
       domain, category, bytes, modified_at, ingested_at
FROM ingestion.documents
WHERE partition_key = %s AND document_id > %s ORDER BY document_id LIMIT %s
"""
_CHUNKS = """
SELECT chunk_id, document_id, partition_key, ordinal, heading, text, content_hash, tokens,
       start_offset, end_offset, context, chunker
FROM ingestion.chunks
WHERE partition_key = %s AND chunk_id > %s AND NOT superseded ORDER BY chunk_id LIMIT %s
"""
_EMBEDDINGS = """
SELECT chunk_id, c.document_id, c.partition_key, e.content_hash, e.embedded_at,
       {send}(e.embedding) AS embedding
FROM ingestion.chunks c JOIN {table} e USING (chunk_id)
WHERE c.partition_key = %s AND chunk_id > %s AND NOT c.superseded ORDER BY chunk_id LIMIT %s
"""


class Frames(Iterator[pd.DataFrame]):
    """Pages of a table, read as they are asked for.

    Dagster accepts no `Iterator[DataFrame]` as an annotation; this is the name for one.
    """

    def __init__(self, pages: Iterator[pd.DataFrame]) -> None:
        self._pages = pages

    def __next__(self) -> pd.DataFrame:
        return next(self._pages)

    def whole(self) -> pd.DataFrame:
        """All pages as one frame, with a fresh index."""
        pages = list(self)
        filled = [page for page in pages if len(page)]
        return pd.concat(filled or pages[:1], ignore_index=True)


def documents(connection: Connection, partition_key: str) -> Iterator[pd.DataFrame]:
    """Documents of a partition, ordered by id; at least one frame, though it may be empty."""
    return _pages(connection, sql.SQL(_DOCUMENTS), partition_key)


def chunks(connection: Connection, partition_key: str) -> Iterator[pd.DataFrame]:
    """Present chunks of a partition, ordered by id; at least one frame."""
    return _pages(connection, sql.SQL(_CHUNKS), partition_key)


def embeddings(connection: Connection, partition_key: str) -> Iterator[pd.DataFrame]:
    """Vectors of a partition in the active generation, ordered by chunk id; at least one frame.

    The column `embedding` holds float32 arrays; `np.stack(frame.embedding)` is the matrix.
    """
    generation = active(connection)
    if generation is None:
        yield pd.DataFrame(columns=["chunk_id", "document_id", "partition_key", "content_hash",
                                    "embedded_at", "embedding"])  # fmt: skip
        return
    query = sql.SQL(_EMBEDDINGS).format(
        table=generation.table, send=sql.Identifier(f"{generation.storage}_send")
    )
    for frame in _pages(connection, query, partition_key):
        arrays = list(unpacked(list(frame["embedding"]), generation))
        yield frame.assign(embedding=pd.Series(arrays, index=frame.index, dtype=object))


def _pages(
    connection: Connection, query: sql.SQL | sql.Composed, partition_key: str
) -> Iterator[pd.DataFrame]:
    after = _FIRST
    while True:
        cursor = connection.execute(query, (partition_key, after, PAGE), binary=True)
        rows = cursor.fetchall()
        if rows or after == _FIRST:
            yield pd.DataFrame(rows, columns=[column.name for column in cursor.description or ()])
        if len(rows) < PAGE:
            return
        after = rows[-1][0]
