"""A collection as Parquet: a row group to a page, the vectors as lists of a fixed size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import orjson
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from ingestion_assets.export.record import head, record
from ingestion_assets.store.collections import Collection, Row
from ingestion_assets.store.copy import unpacked
from ingestion_assets.store.generations import Generation

_CHUNK = pa.schema(
    [
        ("domain", pa.string()),
        ("category", pa.string()),
        ("id", pa.string()),
        ("document_id", pa.string()),
        ("source", pa.string()),
        ("uri", pa.string()),
        ("title", pa.string()),
        ("media_type", pa.string()),
        ("ordinal", pa.int32()),
        ("heading", pa.string()),
        ("text", pa.string()),
        ("tokens", pa.int32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("content_hash", pa.string()),
        ("metadata", pa.string()),
    ]
)


class ParquetFile:
    """Writes the chunks with their domain, category and vector; the head is the file's metadata."""

    def __init__(self, path: Path, collection: Collection, generation: Generation) -> None:
        self._generation = generation
        vectors = pa.field("embedding", pa.list_(pa.float32(), generation.dimensions))
        described = {"ingestion_assets": orjson.dumps(head(collection, generation))}
        self._schema = _CHUNK.append(vectors).with_metadata(described)
        self._writer = ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def write(self, rows: Sequence[Row]) -> None:
        chunks = [{"domain": row.domain, "category": row.category, **record(row)} for row in rows]
        columns = pa.Table.from_pylist(chunks, _CHUNK).columns
        numbers = unpacked([row.embedding or b"" for row in rows], self._generation).ravel()
        vectors = pa.FixedSizeListArray.from_arrays(numbers, self._generation.dimensions)
        self._writer.write_table(pa.Table.from_arrays([*columns, vectors], schema=self._schema))

    def __exit__(self, *exc: object) -> None:
        self._writer.close()
