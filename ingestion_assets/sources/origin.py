"""What every kind of origin answers: what is there, what one document says, what is left."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ingestion_assets.errors import SourceError
from ingestion_assets.sources.record import Record

_ENDING = re.compile(r"\.[^./]*\Z")


@dataclass(frozen=True, slots=True)
class Found:
    """A document as it was when it was looked at; its content was not read.

    Attributes:
        uri: its identity in the source; of a file, the path below the root.
        bytes: its size.
        modified_at: by the origin's clock, cut to microseconds.
    """

    uri: str
    bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Absent:
    """A document that was listed, and was gone when it was to be read."""

    uri: str


Listed = Found | Record | SourceError
Read = Record | Absent | SourceError


class Origin(Protocol):
    """Where the documents of a source come from. Made for one look at it, and then let go.

    A document that cannot be listed or read is given as an error in its place; one whose uri ends
    with a slash says that nobody knows what is below. What is raised fails the whole look, and
    nothing is deleted: SourceError, or ConfigError if the settings must be changed first.
    """

    @property
    def name(self) -> str:
        """What messages call it: the folder, the function."""

    def survey(self) -> Iterator[Listed] | None:
        """All that a person is shown as there; None if that takes reading it."""

    def watched(self) -> Iterator[Found | SourceError] | None:
        """All that a sensor compares every half minute; None if it cannot tell what changed."""

    def listed(self, partition_key: str) -> Iterator[Listed]:
        """What there is of one partition; a record brings its content along."""

    def read(self, wanted: Iterable[Found | Record]) -> Iterator[Read]:
        """The documents as they are now, in the order of what was listed and is wanted.

        Args:
            wanted: taken one by one, or all at once before the first is read.
        """

    def present(self) -> Counter[str]:
        """How many documents all partitions have, by the ending of the uri; after `listed`."""

    def is_empty(self) -> bool:
        """Whether there is nothing at all, as behind a share that is not mounted."""


def ending(uri: str) -> str:
    """`.md` of `guide/a.md`; empty if there is none."""
    found = _ENDING.search(uri)
    return found[0] if found else ""
