"""A ZIP archive in, its members out: documents of their own, named `guide.zip!/inner/a.md`.

Nothing is written anywhere. No header is trusted: what counts is what is read.
"""

import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO

from ingestion_assets.documents import media, sniffing
from ingestion_assets.errors import (
    ArchiveError,
    ArchiveLimitError,
    DuplicateMemberError,
    EncryptedMemberError,
    UnsafeMemberError,
)
from ingestion_assets.sources import globs
from ingestion_assets.sources.record import Record

_MEMBER = re.compile(r"\.zip(?=!/)", re.I)
_DRIVE = re.compile(r"[a-z]:", re.I)
_VISIBLE = globs.select(("**/*",), ())

_MOST_MEMBERS = 10_000  # of an archive, and all archives in it
_MOST_BYTES = 1_000_000_000  # of these
_DEEPEST = 2  # an archive in an archive
_LONGEST = 2000  # bytes of a uri
_ENCRYPTED = 0x1  # in a member's flags
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # that unpack no more than is asked for


def owner(uri: str) -> str:
    """The archive that a document is in, or else the document itself."""
    found = _MEMBER.search(uri)
    return uri[: found.end()] if found else uri


def is_named(uri: str) -> bool:
    """Whether this would be an archive by its name."""
    return uri.lower().endswith(".zip")


def inside(uri: str) -> str:
    """What the uris of an archive's members begin with."""
    return f"{uri}!/"


def is_archive(record: Record) -> bool:
    """Whether a document is an archive of documents, by its name and content."""
    return (
        is_named(record.uri)
        and record.media_type is None
        and sniffing.document(record.uri, record.raw()) == media.ZIP
    )


def listed(uri: str, file: BinaryIO) -> set[str]:
    """The uris of an archive's members, whether they can be read or not; empty if it is broken."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {_uri(uri, info) for info in archive.infolist() if _is_wanted(info)}
    except Exception:  # of many kinds, and `members` says which
        return set()


def members(archive: Record, max_bytes: int) -> Iterator[Record | ArchiveError]:
    """An archive's documents, each with the time of the archive; an error for what cannot be read.

    Raises:
        ArchiveError: the archive is broken, or too large: nobody knows what else there is.
    """
    yield from _Reading(max_bytes).members(archive, 1)


class _Reading:
    """What was read so far of an archive, and of those inside it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._members = self._bytes = 0

    def members(self, archive: Record, depth: int) -> Iterator[Record | ArchiveError]:
        opened = _open(archive)
        seen: set[str] = set()
        for info in filter(_is_wanted, opened.infolist()):
            uri = _uri(archive.uri, info)
            self._count(archive.uri)
            try:
                _check(uri, info, seen)
                member = replace(
                    archive, uri=uri, title=None, content=self._read(uri, opened, info)
                )
                if is_archive(member):
                    _check_depth(uri, depth)
                    yield from self.members(member, depth + 1)
                else:
                    yield member
            except ArchiveError as exc:
                if exc.uri == archive.uri:
                    raise
                yield exc
            seen.add(uri)

    def _read(self, uri: str, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
        try:
            with opened.open(info) as file:
                raw = file.read(self._max_bytes + 1)
        except Exception as exc:  # zipfile, zlib and bz2 have no error in common
            raise ArchiveError(uri, f"is damaged ({exc}); make the archive anew") from exc
        self._bytes += len(raw)
        if len(raw) > self._max_bytes:
            raise ArchiveLimitError(
                uri,
                f"has more than the {self._max_bytes} bytes of `max_bytes`; raise that in"
                " sources.yaml, or take it out of the archive",
            )
        return raw

    def _count(self, uri: str) -> None:
        self._members += 1
        if self._members > _MOST_MEMBERS or self._bytes > _MOST_BYTES:
            raise ArchiveLimitError(
                owner(inside(uri)),
                f"has more than {_MOST_MEMBERS} members or {_MOST_BYTES} bytes; unpack it, or"
                " exclude it",
            )


def _open(archive: Record) -> zipfile.ZipFile:
    try:
        bounded = sniffing.Bounded(archive.raw())
        opened = zipfile.ZipFile(bounded)
    except Exception as exc:  # of many kinds: each field may be broken
        raise ArchiveError(
            archive.uri, f"is truncated or broken ({exc}); get a whole copy, or exclude it"
        ) from exc
    bounded.most = len(bounded.getbuffer())
    return opened


def _is_wanted(info: zipfile.ZipInfo) -> bool:
    """Hidden members are left out, as in folders; what leads astray is to be named."""
    name = _name(info)
    return not name.endswith("/") and (_leads_out(name) or _VISIBLE.takes(name))


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/")


def _uri(archive: str, info: zipfile.ZipInfo) -> str:
    return inside(archive) + _name(info)


def _leads_out(name: str) -> bool:
    return (
        not name
        or name.startswith("/")
        or bool(_DRIVE.match(name))
        or ".." in PurePosixPath(name).parts
    )


def _check(uri: str, info: zipfile.ZipInfo, seen: set[str]) -> None:
    if _leads_out(_name(info)) or stat.S_ISLNK(info.external_attr >> 16):
        raise UnsafeMemberError(uri, "leads out of its archive, or is a link; make it a plain file")
    if len(uri.encode()) > _LONGEST:
        raise ArchiveError(f"{uri[:80]}…", f"is longer than {_LONGEST} bytes; shorten the name")
    if uri in seen:
        raise DuplicateMemberError(uri, "is in its archive twice; leave one out")
    if info.flag_bits & _ENCRYPTED:
        raise EncryptedMemberError(uri, "is encrypted; pack it without a password")
    if info.compress_type not in _METHODS:
        raise ArchiveError(
            uri, f"is packed by method {info.compress_type}, which is not read; use deflate (8)"
        )


def _check_depth(uri: str, depth: int) -> None:
    if depth == _DEEPEST:
        raise ArchiveLimitError(uri, "is an archive in an archive in an archive; unpack it")
