"""Blocks in, sections out: each heading's own blocks under its path."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

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


def opened(above: Sequence[Block], heading: Block) -> tuple[Block, ...]:
    """The headings that what follows a heading is under, itself the last."""
    return (*takewhile(lambda higher: higher.level < heading.level, above), heading)


def titles(headings: Iterable[Block]) -> tuple[str, ...]:
    """A path: each title in one line, if there is one."""
    return tuple(filter(None, (" ".join(heading.title.split()) for heading in headings)))


def _parts(blocks: Sequence[Block]) -> Iterator[_Part]:
    """One part for what stands before the first heading, then one for each heading."""
    above: tuple[Block, ...] = ()
    part = _Part(None, (), "", [])
    for block in blocks:
        if block.kind is not BlockKind.HEADING:
            part.blocks.append(block)
            continue
        yield part
        *parents, _ = above = opened(above, block)
        part = _Part(block, titles(parents), "".join(titles([block])), [])
    yield part


def _is_below(part: _Part | None, heading: Block) -> bool:
    return part is not None and part.heading is not None and part.heading.level > heading.level
