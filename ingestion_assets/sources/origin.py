"""What every kind of origin answers: what is there, what one document says, what is left."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, ClassVar, Protocol

from ingestion_assets.errors import SourceError
from ingestion_assets.sources.record import Record

_ENDING = re.compile(r"\.[^./]*\Z")


@dataclass(frozen=True, slots=True)
class Found:
    """A document as it was when it was looked at; its content was not read.

    Attributes:
        uri: its identity in the source; of a file, the path below the root.
        bytes: its size, if that is told.
        modified_at: by the origin's clock, cut to microseconds, if that is told.
        validator: the origin's own name of this version, as an ETag; of what is wanted and was
            listed without, that of the version that is stored.
    """

    uri: str
    bytes: int | None = None
    modified_at: datetime | None = None
    validator: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A document that was listed, and was gone when it was to be read."""

    uri: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A document that is still the version which is stored, as its origin says."""

    uri: str


Listed = Found | Record | SourceError
Read = Record | Unchanged | Absent | SourceError


class Origin(Protocol):
    """Where the documents of a source come from. Made for one look at it, and then let go.

    A document that cannot be listed or read is given as an error in its place; one whose uri ends
    with a slash says that nobody knows what is below. What is raised fails the whole look, and
    nothing is deleted: SourceError, or ConfigError if the settings must be changed first.

    Attributes:
        every: seconds between two looks of a sensor, if the source does not say; none means no
            look but the first.
        sized: whether the sizes of documents are told when they are listed.
    """

    every: ClassVar[float | None]
    sized: ClassVar[bool]

    @property
    def name(self) -> str:
        """What messages call it: the folder, the function."""

    def survey(self) -> Iterator[Listed] | None:
        """All that a person is shown as there; None if that takes reading it."""

    def watched(self) -> Iterator[Found | SourceError] | None:
        """All that a sensor compares; None if that does not tell what changed."""

    def listed(self, partition_key: str) -> Iterator[Listed]:
        """What there is of one partition; a record brings its content along."""

    def read(self, wanted: Iterable[Found | Record]) -> Iterator[Read]:
        """The documents as they are now, in the order of what was listed and is wanted.

        Args:
            wanted: taken one by one, or all at once before the first is read.
        """

    def opened(self, uri: str) -> BinaryIO | None:
        """A document's file, to be looked into; None if it would have to be fetched first."""

    def present(self) -> Counter[str]:
        """How many documents all partitions have, by the ending of the uri; after `listed`."""

    def is_empty(self) -> bool:
        """Whether there is nothing at all, as behind a share that is not mounted."""


def ending(uri: str) -> str:
    """`.md` of `guide/a.md`; empty if there is none."""
    found = _ENDING.search(uri)
    return found[0] if found else ""
