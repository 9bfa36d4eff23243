"""A collection as one JSON object, a chunk to a line; written as it comes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import orjson

from ingestion_assets.export.record import head, record
from ingestion_assets.store.collections import Collection, Row
from ingestion_assets.store.generations import Generation


class JsonFile:
    """Writes the head, then the chunks, without their vectors; orjson writes no NaN."""

    def __init__(self, path: Path, collection: Collection, generation: Generation) -> None:
        self._file = path.open("wb")
        self._file.write(orjson.dumps(head(collection, generation))[:-1] + b',"chunks":[')
        self._before = b"\n"

    def __enter__(self) -> Self:
        return self

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            chunk = {**record(row), "metadata": orjson.Fragment(row.metadata)}
            self._file.write(self._before + orjson.dumps(chunk))
            self._before = b",\n"

    def __exit__(self, *exc: object) -> None:
        with self._file:
            self._file.write(b"\n]}\n")
