"""A url of a store that fsspec knows in, the objects below it out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from ingestion_assets.errors import ConfigError, SourceError
from ingestion_assets.sources import files, globs
from ingestion_assets.sources.origin import Absent, Found, Read, ending
from ingestion_assets.sources.record import Record, uri_problem
from ingestion_assets.sources.source import Source

_EXTRAS = ("s3",)
_GENERIC = ("fsspec.spec", "fsspec.asyn")
_AT_ONCE, _AT_ONCE_BYTES = 32, 64_000_000  # objects that are fetched together

# What implementations call the version of an object, and the time of its last change.
_VALIDATORS = ("ETag", "etag", "md5Hash", "content_md5")
_TIMES = ("LastModified", "mtime", "updated", "last_modified", "modified", "created")


class Store:
    """The origin that is a folder in an object store or on another machine."""

    every: ClassVar[float | None] = 600.0
    sized: ClassVar[bool] = True

    def __init__(self, source: Source) -> None:
        self._source = source
        self._there: Counter[str] = Counter()  # in all partitions, by ending

    @property
    def name(self) -> str:
        return self._source.url or ""

    def survey(self) -> Iterator[Found | SourceError]:
        selection = globs.select(self._source.include, self._source.exclude)
        with self._opened() as (fs, root):
            for info in _everything(fs, root):
                if isinstance(info, SourceError):
                    yield info
                elif selection.reaches(uri := _below(root, info["name"])):
                    yield self._found(uri, info)

    def watched(self) -> Iterator[Found | SourceError]:
        return self.survey()

    def listed(self, partition_key: str) -> Iterator[Found | SourceError]:
        for found in self.survey():
            self._there[ending(found.uri)] += 1
            if found.uri.endswith("/") or self._source.partition_key(found.uri) == partition_key:
                yield found

    def read(self, wanted: Iterable[Found | Record]) -> Iterator[Read]:
        with self._opened() as (fs, root):
            for batch in _batches(found for found in wanted if isinstance(found, Found)):
                paths = [f"{root}/{found.uri}" for found in batch]
                contents = fs.cat(paths, on_error="return")
                for found, path in zip(batch, paths, strict=True):
                    yield self._document(found, contents[path])

    def opened(self, uri: str) -> None:
        return None

    def present(self) -> Counter[str]:
        return self._there

    def is_empty(self) -> bool:
        return not self._there

    def _found(self, uri: str, info: Mapping[str, Any]) -> Found | SourceError:
        size = info.get("size")
        try:
            if problem := uri_problem(uri):
                raise SourceError(files.printable(uri), f"the name {problem}")
            files.check_size(self._source, uri, size or 0)
        except SourceError as exc:
            return exc
        validator = next((str(info[key]) for key in _VALIDATORS if info.get(key)), None)
        return Found(uri, size, _time(info), validator)

    def _document(self, found: Found, content: bytes | Exception) -> Read:
        if isinstance(content, FileNotFoundError):
            return Absent(found.uri)
        if isinstance(content, Exception):
            return SourceError(found.uri, f"cannot be read ({_said(content)}); run again")
        provenance = {} if found.validator is None else {"validator": found.validator}
        return Record(found.uri, content, modified_at=found.modified_at, provenance=provenance)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, str]]:
        """The file system, and the path of the root in it.

        Raises:
            ConfigError: what reads such urls is not installed.
            SourceError: the store cannot be reached, or refuses.
        """
        # Imports what the scheme needs, which may take seconds.
        from fsspec.core import url_to_fs  # noqa: PLC0415

        try:
            # Credentials come from the environment; a listing of yesterday would hide changes.
            fs, root = url_to_fs(self.name, use_listings_cache=False, skip_instance_cache=True)
            yield fs, str(root).rstrip("/")
        except ImportError as exc:
            raise ConfigError(
                f"source {self._source.name!r}: url: {self.name!r} {_missing(self.name, exc)}"
            ) from exc
        except SourceError:
            raise
        except Exception as exc:  # every implementation has errors of its own
            raise SourceError(
                self.name,
                f"source {self._source.name!r} cannot be read ({_said(exc)}); nothing is deleted;"
                f" give credentials by the environment, or correct `url`",
            ) from exc


def _everything(fs: Any, root: str) -> Iterator[Mapping[str, Any] | SourceError]:
    """All files below a path; a folder that cannot be listed as an error.

    An implementation that can list without asking for each folder is left to do so. fsspec's own
    walk, which others inherit, passes over what it cannot list.
    """
    if _lists_at_once(fs):
        yield from (info for info in fs.find(root, detail=True).values() if _is_file(info))
        return
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            listing = fs.ls(folder, detail=True)
        except OSError as exc:
            if folder == root:
                raise
            yield SourceError(f"{_below(root, folder)}/", f"cannot be listed ({_said(exc)})")
            continue
        for info in listing:
            if _is_file(info):
                yield info
            elif info["type"] == "directory" and not info.get("islink"):
                pending.append(info["name"])


def _lists_at_once(fs: Any) -> bool:
    own = [cls for cls in type(fs).__mro__ if cls.__module__ not in _GENERIC]
    return any({"find", "_find"} & vars(cls).keys() for cls in own)


def _is_file(info: Mapping[str, Any]) -> bool:
    return info["type"] == "file" and not info["name"].endswith("/") and not info.get("islink")


def _below(root: str, path: str) -> str:
    return path.removeprefix(root).strip("/")


def _batches(wanted: Iterable[Found]) -> Iterator[Sequence[Found]]:
    """What is fetched together: as much as a few connections bear, and memory."""
    batch: list[Found] = []
    size = 0
    for found in wanted:
        bytes_ = found.bytes or 0
        if batch and (len(batch) == _AT_ONCE or size + bytes_ > _AT_ONCE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(found)
        size += bytes_
    if batch:
        yield batch


def _time(info: Mapping[str, Any]) -> datetime | None:
    """The time of the last change, whatever it is called and however it is written."""
    at = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(at, int | float):
        at = datetime.fromtimestamp(at, UTC)
    elif isinstance(at, str):
        at = datetime.fromisoformat(at)
    return at if isinstance(at, datetime) and at.tzinfo else None


def _missing(url: str, exc: ImportError) -> str:
    scheme = url.partition("://")[0]
    if scheme in _EXTRAS:
        return f"needs the extra {scheme!r}: pip install 'ingestion-assets[{scheme}]'"
    return f"needs a package that is not installed: {exc}"


def _said(exc: Exception) -> str:
    return f"{type(exc).__name__}: {' '.join(str(exc).split())}"
