"""A layout in, the table's rows out, document by document; the table is only ever read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from ingestion_assets.store.adoption.layout import LLAMA_INDEX, Layout
from ingestion_assets.store.adoption.nodes import bookkeeping, embedded_metadata
from ingestion_assets.store.connection import Connection

_PAGE = 1000  # rows that are fetched at once

_ROWS = """
SELECT {id}, coalesce({document}, {id}) COLLATE "C", {text}::text, t.embedding, {metadata}, {own}
FROM {table} t WHERE {condition}
"""
_ORDERED = _ROWS + "ORDER BY 2, {order}, 1"
_SAMPLE = (
    _ROWS + r"AND t.embedding IS NOT NULL AND {text}::text ~ '\S' ORDER BY random() LIMIT %(limit)s"
)
_COUNTS = r"""
SELECT count(*), count(t.embedding), count(*) FILTER (WHERE {text}::text ~ '\S' IS NOT TRUE),
       count(DISTINCT coalesce({document}, {id}) COLLATE "C")
FROM {table} t WHERE {condition}
"""
_WIDTHS = """
SELECT vector_dims(t.embedding), count(*) FROM {table} t
WHERE {condition} AND t.embedding IS NOT NULL GROUP BY 1 ORDER BY 2 DESC
"""


_OF_COLLECTION = sql.SQL("t.collection_id = %(collection)s")
_ALL = sql.SQL("true")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a piece of text with its vector.

    Attributes:
        id: names it in its table.
        document: names what its text was cut from; the row itself, if that is not known.
        heading: what was embedded before the text, an empty line between them.
        text: empty if there is none.
        vector: float32, as it is stored there; none if there is none.
    """

    id: str
    document: str
    heading: str
    text: str
    vector: NDArray[np.float32] | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to adopt.

    Attributes:
        vectors: rows that have one.
        empty: rows without text.
        widths: rows by the dimensions of their vectors, the most frequent first.
    """

    rows: int
    vectors: int
    empty: int
    documents: int
    widths: Mapping[int, int]


def survey(connection: Connection, layout: Layout) -> Survey:
    """Count what there is; reads the whole table, but for its vectors."""
    counts = connection.execute(_composed(_COUNTS, layout), _parameters(layout)).fetchone()
    widths = connection.execute(_composed(_WIDTHS, layout), _parameters(layout)).fetchall()
    found, vectors, empty, documents = counts or (0, 0, 0, 0)
    return Survey(found, vectors, empty, documents, dict(widths))


def sample(connection: Connection, layout: Layout, n: int) -> list[Row]:
    """Some rows with text and vector, at random."""
    parameters = {**_parameters(layout), "limit": n}
    found = connection.execute(_composed(_SAMPLE, layout), parameters, binary=True)
    return [_row(layout, *values) for values in found]


def rows(connection: Connection, layout: Layout) -> Iterator[Row]:
    """All rows, those of a document together and in order; inside the caller's transaction.

    They are fetched by the thousand, from a cursor on the server.
    """
    with connection.cursor(name="adoption") as cursor:
        cursor.itersize = _PAGE
        cursor.execute(_composed(_ORDERED, layout), _parameters(layout), binary=True)
        for values in cursor:
            yield _row(layout, *values)


def _composed(query: LiteralString, layout: Layout) -> sql.Composed:
    return sql.SQL(query).format(
        table=layout.table.identifier,
        id=layout.id,
        document=layout.document,
        text=layout.text,
        order=layout.order,
        metadata=layout.metadata,
        own=layout.own,
        condition=_OF_COLLECTION if layout.collection_id else _ALL,
    )


def _parameters(layout: Layout) -> dict[str, Any]:
    return {"collection": layout.collection_id}


def _row(
    layout: Layout,
    id_: str,
    document: str,
    text: str | None,
    vector: bytes | None,
    metadata: Any,
    own: Any,
) -> Row:
    kept = {**(metadata if isinstance(metadata, dict) else {}), **(own or {})}
    heading = ""
    if layout.kind == LLAMA_INDEX:
        heading = _storable(embedded_metadata(kept))
        kept = {name: value for name, value in kept.items() if name not in bookkeeping}
    return Row(
        id_,
        document,
        heading,
        text if text and not text.isspace() else "",
        None if vector is None else _numbers(vector, is_half=layout.is_half),
        _storable(kept),
    )


def _numbers(wire: bytes, *, is_half: bool) -> NDArray[np.float32]:
    """A vector as Postgres sends it; its first 4 bytes are sizes."""
    return np.frombuffer(wire, ">f2" if is_half else ">f4", offset=4).astype(np.float32)


def _storable(value: Any) -> Any:
    """JSON without NULs and lone surrogates, which a `json` column can hold and `jsonb` cannot."""
    if isinstance(value, dict):
        return {_storable(name): _storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    return value
