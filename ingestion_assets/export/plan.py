"""What is stored and what was written in, what is to be written and removed out."""

from collections import defaultdict
from collections.abc import Collection as Some
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b

from ingestion_assets.errors import ConfigError
from ingestion_assets.export.formats import FORMATS
from ingestion_assets.export.manifest import Entry, Manifest
from ingestion_assets.export.names import NONE, names
from ingestion_assets.store.collections import Collection
from ingestion_assets.store.generations import Generation

_FILES = "1"  # what the files are like; another number has all of them written again


@dataclass(frozen=True, slots=True)
class Selection:
    """What is exported.

    Attributes:
        formats: names of FORMATS; files of the others are left as they are.
        include: globs of domain and category, as ("people", "*"); a collection that fits none of
            them is left as it is. All fit if there is none.
        sources: only documents of these; all if there is none.
    """

    formats: Sequence[str] = tuple(FORMATS)
    include: Sequence[tuple[str, str]] = ()
    sources: Sequence[str] = ()

    def has(self, of: Collection | Entry) -> bool:
        """Whether a collection is selected."""
        domain, category = of.domain or NONE, of.category or NONE
        return not self.include or any(
            fnmatchcase(domain, first) and fnmatchcase(category, second)
            for first, second in self.include
        )


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is to be."""

    collection: Collection
    path: str
    format: str
    fingerprint: str

    def entry(self, size: int) -> Entry:
        """What the manifest says of it once it is written."""
        made_of = self.collection
        return Entry(
            self.path, made_of.domain, made_of.category, made_of.chunks, size, self.fingerprint
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What an export does.

    Attributes:
        collections: that are selected and have a vector.
        missing: chunks without one.
        due: files to write, by the key of their collection.
        gone: files to remove.
        kept: files of the manifest that stay as they are, those that are not selected included.
        unchanged: how many of them are selected.
    """

    collections: Sequence[Collection]
    missing: int
    due: Mapping[tuple[str | None, str | None], Sequence[File]]
    gone: Sequence[Entry]
    kept: Sequence[Entry]
    unchanged: int


def plan(
    listed: Sequence[Collection],
    generation: Generation,
    selection: Selection,
    manifest: Manifest,
    sizes: Mapping[str, int],
) -> Plan:
    """Compare what is stored with what was written, and with what of that is still there.

    Args:
        listed: all collections of the store.
        sizes: bytes of the files that are in the folder, by path.

    Raises:
        ConfigError: a file that no export wrote is in the way.
    """
    selected = [collection for collection in listed if selection.has(collection)]
    filled = [collection for collection in selected if collection.chunks]
    paths = _paths(listed)
    due, done = defaultdict(list), set()
    for file in _files(filled, paths, generation, selection.formats):
        if _is_written(file, manifest, sizes):
            done.add(file.path)
        else:
            due[file.collection.key].append(file)
    at_home = {f"{paths[collection.key]}.{name}" for collection in filled for name in FORMATS}
    gone = [e for e in manifest.files.values() if selection.has(e) and e.path not in at_home]
    replaced = {file.path for files in due.values() for file in files} | {e.path for e in gone}
    _refuse_strangers(replaced - manifest.files.keys(), sizes)
    return Plan(
        collections=filled,
        missing=sum(collection.missing for collection in selected),
        due=due,
        gone=gone,
        kept=[e for e in manifest.files.values() if e.path not in replaced],
        unchanged=len(done),
    )


def _paths(listed: Sequence[Collection]) -> dict[tuple[str | None, str | None], str]:
    """Where each collection goes, without the ending."""
    categories = defaultdict(list)
    for collection in listed:
        categories[collection.domain].append(collection.category)
    domains = names(categories)
    return {
        (domain, category): f"{domains[domain]}/{name}"
        for domain, of in categories.items()
        for category, name in names(of).items()
    }


def _files(
    collections: Sequence[Collection],
    paths: Mapping[tuple[str | None, str | None], str],
    generation: Generation,
    formats: Sequence[str],
) -> list[File]:
    return [
        File(c, f"{paths[c.key]}.{name}", name, _fingerprint(c, generation))
        for c in collections
        for name in formats
    ]


def _fingerprint(collection: Collection, generation: Generation) -> str:
    parts = [_FILES, generation.generation_id, generation.model, generation.digest]
    whole = [*parts, collection.chunks, collection.missing, collection.content]
    return blake2b("/".join(map(str, whole)).encode(), digest_size=16).hexdigest()


def _is_written(file: File, manifest: Manifest, sizes: Mapping[str, int]) -> bool:
    entry = manifest.files.get(file.path)
    return (
        entry is not None
        and entry.fingerprint == file.fingerprint
        and sizes.get(file.path) == entry.bytes
    )


def _refuse_strangers(paths: Some[str], sizes: Mapping[str, int]) -> None:
    """Nobody's file is replaced but ours."""
    if found := sorted(paths & sizes.keys()):
        raise ConfigError(
            f"{found[0]!r} is there already, and no export wrote it; choose another folder, or"
            " move that file away"
        )
