"""What is wrong, how often, and whether it can be mended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ingestion_assets.store.connection import Connection

EXAMPLES = 5  # of a finding


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of damage.

    Attributes:
        name: as it is printed: `vectors_missing`.
        meaning: what is wrong, and what comes of it.
        remedy: what `--repair` does about it; if it can do nothing, what the operator can.
        mends: whether `--repair` can do something.
    """

    name: str
    meaning: str
    remedy: str
    mends: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """Damage of one kind that was found.

    Attributes:
        examples: a few of the `count`, in words.
    """

    kind: Kind
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at.

    Attributes:
        sources: their names; none means everything.
        busy: partitions that a run is writing: their documents and chunks need not agree yet.
    """

    sources: Sequence[str] | None = None
    busy: Sequence[str] = field(default=())

    def parameters(self) -> dict[str, list[str] | None]:
        """For queries that have conditions of `rows` in them."""
        return {
            "sources": None if self.sources is None else list(self.sources),
            "busy": list(self.busy),
        }


class Check(Protocol):
    """Finds damage in a snapshot, and mends it outside of any transaction."""

    def find(self, connection: Connection) -> list[Finding]:
        """What is wrong; at most one finding of each kind."""

    def mend(self, connection: Connection) -> None:
        """Mend what can be, in small transactions; what is well is left alone."""


def finding(kind: Kind, examples: Sequence[str]) -> list[Finding]:
    """One finding of all that is named, or none if nothing is."""
    return [Finding(kind, len(examples), tuple(examples[:EXAMPLES]))] if examples else []
