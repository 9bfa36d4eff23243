"""The formats of a collection's file; a writer takes its rows page by page."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ingestion_assets.export.json_file import JsonFile
from ingestion_assets.store.collections import Collection, Row
from ingestion_assets.store.generations import Generation


class CollectionFile(AbstractContextManager["CollectionFile"], Protocol):
    """Writes one collection; the file is whole when the context has ended without an error."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append some rows."""


Open = Callable[[Path, Collection, Generation], CollectionFile]


def _parquet(path: Path, collection: Collection, generation: Generation) -> CollectionFile:
    # 35 MB, for those who want it.
    from ingestion_assets.export.parquet_file import ParquetFile  # noqa: PLC0415

    return ParquetFile(path, collection, generation)


FORMATS: Mapping[str, Open] = {"json": JsonFile, "parquet": _parquet}
