"""What one document may cost."""

from dataclasses import dataclass, field
from typing import Self

from ingestion_assets.settings import Settings, cores

CLOCK = 5  # seconds by the clock for each one of CPU: the machine may be busy with other things


@dataclass(frozen=True, slots=True)
class Limits:
    """What the extraction of one document may cost.

    Attributes:
        processes: that extract at the same time, at most; they start when they are needed.
        seconds: of CPU; five times as many by the clock.
        memory: bytes of address space of a process; bounded on Linux only.
        characters: of text; a text that is no longer than its file has bytes is always right.
    """

    processes: int = field(default_factory=cores)
    seconds: int = 60
    memory: int = 1_000_000_000
    characters: int = 20_000_000

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the environment allows."""
        return cls(
            settings.extractors, settings.document_seconds, settings.document_memory * 1_000_000
        )
