"""Blocks in, sections out: each heading's own blocks under its path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ingestion_assets.documents.document import Block, BlockKind


@dataclass(frozen=True, slots=True)
class Section:
    """The blocks between one heading and the next.

    Attributes:
        path: titles of the headings above the blocks, outermost first.
    """

    path: tuple[str, ...]
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class _Part:
    heading: Block | None
    parents: tuple[str, ...]
    title: str
    blocks: list[Block]


def sections(blocks: Sequence[Block]) -> Iterator[Section]:
    """The sections that have something to say, in order.

    A heading line is part of the path, not of the text. A heading with nothing below it, not even
    sub-headings, is a section of its own whose only block is the heading.
    """
    parts: list[_Part | None] = [*_parts(blocks), None]
    for part, following in pairwise(parts):
        assert part is not None
        path = (*part.parents, part.title) if part.title else part.parents
        if part.blocks:
            yield Section(path, part.blocks)
        elif part.heading and not _is_below(following, part.heading):
            yield Section(part.parents, [part.heading])


def _parts(blocks: Sequence[Block]) -> Iterator[_Part]:
    """One part for what stands before the first heading, then one for each heading."""
    open_headings: list[tuple[int, str]] = []
    part = _Part(None, (), "", [])
    for block in blocks:
        if block.kind is not BlockKind.HEADING:
            part.blocks.append(block)
            continue
        yield part
        while open_headings and open_headings[-1][0] >= block.level:
            open_headings.pop()
        title = " ".join(block.title.split())
        part = _Part(block, tuple(title for _, title in open_headings), title, [])
        if title:
            open_headings.append((block.level, title))
    yield part


def _is_below(part: _Part | None, heading: Block) -> bool:
    return part is not None and part.heading is not None and part.heading.level > heading.level
