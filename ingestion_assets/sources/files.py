"""A source's root in, the files it selects and their bytes out."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, ClassVar

from ingestion_assets.errors import SourceError
from ingestion_assets.sources import globs
from ingestion_assets.sources.origin import Absent, Found, Read, ending
from ingestion_assets.sources.record import Record
from ingestion_assets.sources.source import Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1, _YEAR_9999 = -62_135_596_800_000_000, 253_402_300_799_999_999  # microseconds

# A file that gives way to a pipe must not make opening it wait.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class Folder:
    """The origin that is a folder: what its globs select."""

    every: ClassVar[float | None] = 0.0
    sized: ClassVar[bool] = True

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def name(self) -> str:
        return str(self._source.root)

    def survey(self) -> Iterator[Found | SourceError]:
        return walk(self._source)

    def watched(self) -> Iterator[Found | SourceError]:
        return walk(self._source)

    def listed(self, partition_key: str) -> Iterator[Found | SourceError]:
        return walk(self._source, partition_key)

    def read(self, wanted: Iterable[Found | Record]) -> Iterator[Read]:
        return (attempt(self._source, found.uri) for found in wanted)

    def opened(self, uri: str) -> BinaryIO:
        return opened(self._source, uri)

    def present(self) -> Counter[str]:
        return Counter(map(ending, names(self._source)))

    def is_empty(self) -> bool:
        return is_empty(self._source)


def walk(source: Source, partition_key: str | None = None) -> Iterator[Found | SourceError]:
    """The selected files in order of uri, or those of one partition; the others are not looked at.

    What cannot be read comes as an error in its place, a folder with a slash at the end of its
    uri. Links to files inside the root are files; links to folders, and what is neither file nor
    folder (pipes, sockets, devices), are passed over.

    Raises:
        SourceError: the root is missing, unreadable, or gives way to another during the walk.
    """
    identity = _identity(source)
    selection = globs.select(source.include, source.exclude)
    pending = [""]  # a stack; folders end with a slash, the root is empty
    while pending:
        uri = pending.pop()
        try:
            if uri and not uri.endswith("/"):
                if found := look(source, uri):
                    yield found
            else:
                pending += reversed(_list(source, uri, selection, partition_key))
        except (FileNotFoundError, NotADirectoryError):
            pass  # gone since its folder was listed
        except OSError as exc:
            yield refused(uri, exc)
        except SourceError as exc:
            yield exc
    if _identity(source) != identity:
        raise SourceError(str(source.root), "was replaced while it was walked; run again")


def names(source: Source) -> Iterator[str]:
    """The uris of the selected files of all partitions; none is looked at.

    A folder that cannot be read is passed over.
    """
    selection = globs.select(source.include, source.exclude)
    pending = [""]
    while pending:
        with suppress(OSError, SourceError):
            for uri in _list(source, pending.pop(), selection, None):
                if uri.endswith("/"):
                    pending.append(uri)
                else:
                    yield uri


def look(source: Source, uri: str) -> Found | None:
    """The file of a uri; None for a link to a folder, and for what is no file.

    Raises:
        OSError: it cannot be looked at; FileNotFoundError if it is gone.
        SourceError: it leads outside the root, is too large, or has a name that is not UTF-8.
    """
    _check_name(uri)
    path = f"{source.root}/{uri}"  # a Path would cost as much as all the rest
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        if not _target(path).is_relative_to(source.root):
            raise SourceError(
                uri, "links to a place outside the root; exclude it or put a copy in its place"
            )
        status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        return None
    check_size(source, uri, status.st_size)
    return Found(uri, status.st_size, _modified(status))


def read(source: Source, uri: str) -> Record | Absent:
    """The file as it is now.

    Raises:
        SourceError: not readable, too large, no longer a regular file below the root.
    """
    try:
        with opened(source, uri) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(uri, "is no regular file any more")
            raw = file.read(source.max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Absent(uri)
    except OSError as exc:
        raise refused(uri, exc) from exc
    check_size(source, uri, max(len(raw), status.st_size))
    return Record(uri, raw, modified_at=_modified(status))


def attempt(source: Source, uri: str) -> Read:
    """As `read`, with the error in the place of the file."""
    try:
        return read(source, uri)
    except SourceError as exc:
        return exc


def check_size(source: Source, uri: str, size: int) -> None:
    """Refuse what is larger than the source takes.

    Raises:
        SourceError: it is.
    """
    if size > source.max_bytes:
        raise SourceError(
            uri,
            f"has {size} bytes, more than the {source.max_bytes} of `max_bytes`; "
            "raise that in sources.yaml or exclude the file",
        )


def printable(uri: str) -> str:
    """The uri with what is not UTF-8 in it escaped."""
    return uri if uri.isascii() else os.fsencode(uri).decode(errors="backslashreplace")


def refused(uri: str, exc: OSError) -> SourceError:
    """The error of a document that the system refuses to read."""
    return SourceError(uri, f"cannot be read ({exc.strerror}); permit it or exclude it")


def opened(source: Source, uri: str) -> BinaryIO:
    """The file, to be read; whether it is still a regular one is for the caller to see.

    Raises:
        OSError: it is gone, or not readable.
        SourceError: it leads outside the root.
    """
    return open(_open(source, uri), "rb")


def is_empty(source: Source) -> bool:
    """Whether the root holds nothing at all, as the mount point of a share that is not mounted."""
    with os.scandir(source.root) as entries:
        return next(entries, None) is None


def _identity(source: Source) -> tuple[int, int]:
    try:
        os.scandir(source.root).close()
        status = os.stat(source.root)
    except OSError as exc:
        raise SourceError(
            str(source.root),
            f"the root of source {source.name!r} cannot be read ({exc.strerror}); mount it, "
            "or correct `root` in sources.yaml",
        ) from exc
    return status.st_dev, status.st_ino


def _list(
    source: Source, folder: str, selection: globs.Selection, partition_key: str | None
) -> list[str]:
    """The uris in a folder that are to be looked at, sorted."""
    _check_name(folder)
    uris = []
    with os.scandir(source.root / folder) as entries:
        for entry in entries:
            uri = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                if selection.enters(uri):
                    uris.append(f"{uri}/")
            elif (
                selection.takes(uri)
                and (entry.is_symlink() or entry.is_file())
                and (partition_key is None or source.partition_key(printable(uri)) == partition_key)
            ):
                uris.append(uri)
    return sorted(uris)


def _open(source: Source, uri: str) -> int:
    """Open a file step by step from the root, so that no folder can become a link meanwhile."""
    target = _target(source.root / uri)
    if not target.is_relative_to(source.root):
        raise SourceError(uri, "leads outside the root; exclude it")
    *folders, name = target.relative_to(source.root).parts
    at = os.open(source.root, _OPEN_FOLDER)
    try:
        for folder in folders:
            above, at = at, os.open(folder, _OPEN_FOLDER, dir_fd=at)
            os.close(above)
        return os.open(name, _OPEN_FILE, dir_fd=at)
    finally:
        os.close(at)


def _target(path: Path | str) -> Path:
    """Where all links lead; unlike Path.resolve it does not raise for a loop of links."""
    return Path(os.path.realpath(path))


def _check_name(uri: str) -> None:
    if printable(uri) != uri:
        raise SourceError(printable(uri), "the name is not UTF-8; rename it")


def _modified(status: os.stat_result) -> datetime:
    microseconds = min(max(status.st_mtime_ns // 1000, _YEAR_1), _YEAR_9999)
    return _EPOCH + timedelta(microseconds=microseconds)
