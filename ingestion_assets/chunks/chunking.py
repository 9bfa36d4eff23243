"""How the documents of one source are split, as sources.yaml says it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from ingestion_assets.errors import ConfigError

SMALLEST, LARGEST = 16, 8192  # tokens of a chunk at most


class Kind(StrEnum):
    """What a chunk is."""

    STRUCTURE = "structure"
    RECURSIVE = "recursive"
    TOKENS = "tokens"
    PAGE = "page"
    SYMBOL = "symbol"
    RECORD = "record"


_Flag = Annotated[bool, Field(strict=True)]


@dataclass(frozen=True, slots=True)
class Chunking:
    """The chunker of a source; size and overlap come from the settings where they are not given.

    Attributes:
        size: tokens per chunk at most, with what is embedded before the text.
        overlap: tokens that neighbouring pieces of one block share at most; all windows of tokens.
        minimum: tokens below which a chunk is joined to a neighbour, if both fit in one.
        heading: whether the heading path is embedded before the text.
        title: whether the document's title is, before the path.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kind: Kind = Kind.STRUCTURE
    size: Annotated[int, Field(strict=True, ge=SMALLEST, le=LARGEST)] | None = None
    overlap: Annotated[int, Field(strict=True, ge=0)] | None = None
    minimum: Annotated[int, Field(strict=True, ge=0)] = 0
    heading: _Flag = True
    title: _Flag = False

    def __post_init__(self) -> None:
        if self.size is not None and (problem := self._problem(self.size)):
            raise ValueError(problem)

    def limits(self, size: int, overlap: int) -> tuple[int, int]:
        """Size and overlap, those of the settings where none are given.

        Raises:
            ConfigError: overlap or minimum is too large for the size of the settings.
        """
        size = self.size or size
        if problem := self._problem(size):
            raise ConfigError(f"chunker: {problem}, or give a larger `size`")
        return size, min(overlap, size // 2) if self.overlap is None else self.overlap

    def _problem(self, size: int) -> str | None:
        if (self.overlap or 0) > size // 2:
            return f"overlap {self.overlap} is more than half of size {size}; make it smaller"
        if self.minimum > size:
            return f"minimum {self.minimum} is more than size {size}; make it smaller"
        return None
