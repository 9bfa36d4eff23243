"""A git work tree in, its tracked files out, as they are on disk."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO, ClassVar

from ingestion_assets.errors import ConfigError, SourceError
from ingestion_assets.sources import files, globs
from ingestion_assets.sources.origin import Found, Read, ending
from ingestion_assets.sources.record import Record
from ingestion_assets.sources.source import Source

_TIMEOUT = 60.0  # seconds for a command of git

# Nothing that a repository says is run, and nothing in it is written.
_GIT = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks"]


class WorkTree:
    """The origin that is a git repository on disk: what git tracks, and the globs select.

    Files are read as they lie in the work tree, committed or not. Submodules are left out: to git
    each is one entry, and on disk a folder.
    """

    every: ClassVar[float | None] = 0.0
    sized: ClassVar[bool] = True

    def __init__(self, source: Source) -> None:
        if source.git is None:
            raise ValueError(f"source {source.name!r} has no `git`")
        self._source = replace(source, root=source.git)

    @property
    def name(self) -> str:
        return str(self._source.root)

    def survey(self) -> Iterator[Found | SourceError]:
        return self._looked_at(self._tracked())

    def watched(self) -> Iterator[Found | SourceError]:
        return self.survey()

    def listed(self, partition_key: str) -> Iterator[Found | SourceError]:
        key_of = self._source.partition_key
        return self._looked_at(
            uri for uri in self._tracked() if key_of(files.printable(uri)) == partition_key
        )

    def read(self, wanted: Iterable[Found | Record]) -> Iterator[Read]:
        commit = self._commit()
        for found in wanted:
            read = files.attempt(self._source, found.uri)
            yield replace(read, provenance=commit) if isinstance(read, Record) else read

    def opened(self, uri: str) -> BinaryIO:
        return files.opened(self._source, uri)

    def present(self) -> Counter[str]:
        root = self._source.root
        return Counter(ending(uri) for uri in self._tracked() if os.path.lexists(root / uri))

    def is_empty(self) -> bool:
        return next(self._tracked(), None) is None

    def _looked_at(self, uris: Iterable[str]) -> Iterator[Found | SourceError]:
        """The files of uris; a tracked one that is not on disk is passed over."""
        for uri in uris:
            try:
                if found := files.look(self._source, uri):
                    yield found
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as exc:
                yield files.refused(uri, exc)
            except SourceError as exc:
                yield exc

    def _tracked(self) -> Iterator[str]:
        """The uris of all selected files that git tracks, in order; one in conflict once."""
        selection = globs.select(self._source.include, self._source.exclude)
        latest = ""
        for path in self._git("ls-files", "-z").split(b"\0"):
            uri = os.fsdecode(path)
            if uri not in ("", latest) and selection.reaches(uri):
                yield uri
            latest = uri

    def _commit(self) -> dict[str, str]:
        """The commit that is checked out; none before the first."""
        try:
            return {"commit": self._git("rev-parse", "--verify", "HEAD").decode().strip()}
        except SourceError:
            return {}

    def _git(self, *arguments: str) -> bytes:
        """What a command of git prints.

        Raises:
            ConfigError: there is no git.
            SourceError: the folder is missing, is no work tree, or is somebody else's.
        """
        root = self._source.root
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        try:
            done = subprocess.run(
                [*_GIT, *arguments],
                cwd=root, env=environment | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=_TIMEOUT, check=False,
            )  # fmt: skip
        except FileNotFoundError as exc:
            if root.is_dir():
                raise ConfigError("there is no `git` command; install git") from exc
            raise self._unreadable("there is no such folder; mount it") from exc
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise self._unreadable(f"git cannot be run there ({exc})") from exc
        if done.returncode:
            raise self._unreadable(_explained(done.stderr.decode(errors="replace").strip()))
        return done.stdout

    def _unreadable(self, why: str) -> SourceError:
        name = self._source.name
        return SourceError(
            self.name, f"the work tree of source {name!r} cannot be read: {why}, or correct `git`"
        )


def _explained(complaint: str) -> str:
    first = complaint.partition("\n")[0]
    if "dubious ownership" in complaint:
        return f"{first}; it is another user's: run as that one, or name it in safe.directory"
    return f"{first}; clone it there"
