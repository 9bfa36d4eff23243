"""The store in, a folder of collections out; only what changed is written."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from ingestion_assets.errors import ConfigError, StoreError
from ingestion_assets.export.formats import FORMATS
from ingestion_assets.export.manifest import MANIFEST, Entry, Manifest
from ingestion_assets.export.plan import Plan, Selection, plan
from ingestion_assets.export.target import Target
from ingestion_assets.store import collections as store
from ingestion_assets.store.audit import snapshot
from ingestion_assets.store.collections import Row
from ingestion_assets.store.connection import Connection, partition_lock
from ingestion_assets.store.generations import Generation, active

FOLDER = "collections"  # where they go unless somebody says where

Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Attributes:
        where: url of the folder.
        collections: that are selected and have a vector.
        chunks: of these, with their vectors.
        missing: chunks that have no vector, and were left out.
        written: paths of files that are new, or were replaced.
        unchanged: files that are as they were.
        removed: paths of files whose collection is gone.
        bytes: of the files written.
    """

    where: str
    collections: int
    chunks: int
    missing: int
    written: list[str] = field(default_factory=list)
    unchanged: int = 0
    removed: list[str] = field(default_factory=list)
    bytes: int = 0


def export(
    connection: Connection, url: str, selection: Selection, progress: Progress | None = None
) -> Exported:
    """Bring a folder in step with the store's collections.

    All files are of one moment, and of the generation that search reads. They are written aside
    while that moment lasts, and put in their places after it: no transaction waits for a store, and
    an export that fails changes nothing, or can be repeated.

    Args:
        url: a local folder, or any url of fsspec.
        progress: told the chunks written so far, and how many there will be.

    Raises:
        ConfigError: the folder cannot be one of this export's; says why, and what to do.
        StoreError: nothing was ever embedded.
        StoreUnavailableError: another export goes to the same folder now. Retryable.
        ExportError: the folder cannot be read or written. Retryable.
    """
    target = Target(url)
    with partition_lock(connection, f"export:{target.where}"), target.staging() as staging:
        sizes = target.sizes()
        manifest = _manifest(target, selection) if MANIFEST in sizes else Manifest({})
        with snapshot(connection):
            generation = active(connection)
            if generation is None:
                raise StoreError("nothing is embedded yet that could be exported; run `ingest run`")
            listed = store.listing(connection, generation, selection.sources)
            work = plan(listed, generation, selection, manifest, sizes)
            staged = _write(connection, generation, selection, work, staging, progress)
        if staged or work.gone:
            _publish(target, selection, work, staged, staging)
    return Exported(
        where=target.where,
        collections=len(work.collections),
        chunks=sum(collection.chunks for collection in work.collections),
        missing=work.missing,
        written=[entry.path for entry in staged.values()],
        unchanged=work.unchanged,
        removed=[entry.path for entry in work.gone],
        bytes=sum(entry.bytes for entry in staged.values()),
    )


def _manifest(target: Target, selection: Selection) -> Manifest:
    found = Manifest.read(target.read(MANIFEST), target.where)
    if found.files and found.sources != tuple(sorted(selection.sources)):
        of = f"source {', '.join(found.sources)}" if found.sources else "all sources"
        raise ConfigError(
            f"{target.where} holds an export of {of}, which this one would replace by another;"
            " choose another folder with --to"
        )
    return found


def _write(
    connection: Connection,
    generation: Generation,
    selection: Selection,
    work: Plan,
    staging: Path,
    progress: Progress | None,
) -> dict[Path, Entry]:
    """Write what is due aside; each staged file and what it will be."""
    staged: dict[Path, Entry] = {}
    due = [collection for collection in work.collections if collection.key in work.due]
    total, done = sum(collection.chunks for collection in due), 0
    vectors = "parquet" in selection.formats
    pages = store.pages(connection, generation, due, selection.sources, vectors=vectors)
    for key, parts in groupby(_parts(pages), key=itemgetter(0)):
        files = {staging / f"{len(staged) + n}": file for n, file in enumerate(work.due[key])}
        with ExitStack() as open_files:
            writers = [
                open_files.enter_context(FORMATS[file.format](path, file.collection, generation))
                for path, file in files.items()
            ]
            for _, rows in parts:
                for writer in writers:
                    writer.write(rows)
                done += len(rows)
                if progress:
                    progress(done, total)
        staged |= {path: file.entry(path.stat().st_size) for path, file in files.items()}
    return staged


def _parts(
    pages: Iterable[list[Row]],
) -> Iterator[tuple[tuple[str | None, str | None], list[Row]]]:
    """Rows of one collection at a time, with its key."""
    for page in pages:
        for key, rows in groupby(page, key=itemgetter(0, 1)):
            yield key, list(rows)


def _publish(
    target: Target,
    selection: Selection,
    work: Plan,
    staged: dict[Path, Entry],
    staging: Path,
) -> None:
    """Remove what is gone, put in place what is new; if it ends early, the next one sees it."""
    pending = [replace(entry, fingerprint="") for entry in staged.values()]
    _note(target, Manifest.of([*work.kept, *work.gone, *pending], selection.sources), staging)
    # In this order, since "HR" and "hr" may be one file: the new name's is written last.
    for entry in work.gone:
        target.remove(entry.path)
    for path, entry in staged.items():
        target.publish(path, entry.path)
    _note(target, Manifest.of([*work.kept, *staged.values()], selection.sources), staging)


def _note(target: Target, manifest: Manifest, staging: Path) -> None:
    path = staging / "manifest"
    path.write_bytes(manifest.content())
    target.publish(path, MANIFEST)
