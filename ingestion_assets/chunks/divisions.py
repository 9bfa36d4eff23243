"""Blocks in, sections out: what may share a chunk, for chunks other than along headings."""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import reduce
from itertools import groupby, pairwise, takewhile

from ingestion_assets.chunks.outline import Section, opened, sections, titles
from ingestion_assets.documents.document import Block, BlockKind

_LINE = re.compile(r"[^\n]+")
_RULE = frozenset("|:- \t")  # what the second line of a Markdown table is made of
_PIPE = re.compile(r"(?<!\\)\|")
_OF_RECORDS = (BlockKind.RECORD, BlockKind.LIST, BlockKind.TABLE)


def whole(blocks: Sequence[Block]) -> Iterator[Section]:
    """The whole document as one section; heading lines are text like any other."""
    if blocks:
        yield Section((), blocks)


def pages(blocks: Sequence[Block], starts: Sequence[int]) -> Iterator[Section]:
    """One section for each page; along headings if there are no pages.

    The headings that a page begins with, or that are above it, are its path; further ones are text.

    Args:
        starts: offset of each page's first character, ascending.
    """
    if not starts:
        yield from sections(blocks)
        return
    above: tuple[Block, ...] = ()
    parts = (part for block in blocks for part in _parts(block, starts))
    for _, group in groupby(parts, key=lambda part: bisect_right(starts, part.start)):
        page = list(group)
        title = _title(page)
        above = reduce(opened, title, above)
        text = page[len(title) :]
        over = opened(above, text[0])[:-1] if _is_heading(text[0]) else above
        yield Section(titles(over), text)
        above = reduce(opened, filter(_is_heading, text), above)


def symbols(blocks: Sequence[Block]) -> Iterator[Section]:
    """One section for each symbol, its name in its path; what is between them along headings."""
    return _singled(blocks, (BlockKind.SYMBOL,), lambda block: [(block.title, block)])


def records(text: str, blocks: Sequence[Block]) -> Iterator[Section]:
    """One section for each record, list item and table row; what is between them along headings.

    A row has the table's header in its path.
    """

    def rows(block: Block) -> Iterable[tuple[str, Block]]:
        return _rows(text, block) if block.kind is BlockKind.TABLE else [("", block)]

    return _singled(blocks, _OF_RECORDS, rows)


def _singled(
    blocks: Sequence[Block],
    kinds: Collection[BlockKind],
    parts: Callable[[Block], Iterable[tuple[str, Block]]],
) -> Iterator[Section]:
    """Sections along headings, but for blocks of some kinds: each of their parts is one."""
    for section in sections(blocks):
        for alone, group in groupby(section.blocks, key=lambda block: block.kind in kinds):
            if not alone:
                yield Section(section.path, list(group))
                continue
            for title, part in (named for block in group for named in parts(block)):
                yield Section((*section.path, title) if title else section.path, [part])


def _rows(text: str, table: Block) -> Iterator[tuple[str, Block]]:
    """Header and lines of a Markdown table; a table of another form stays whole."""
    lines = list(_LINE.finditer(text, table.start, table.end))
    if len(lines) < 3 or not _RULE.issuperset(lines[1][0]):
        yield "", table
        return
    header = " | ".join(cell.strip() for cell in _PIPE.split(lines[0][0].strip().strip("|")))
    for line in lines[2:]:
        yield header, Block(BlockKind.TABLE, line.start(), line.end())


def _parts(block: Block, starts: Sequence[int]) -> Iterator[Block]:
    """The block, cut where a page begins inside it."""
    inside = starts[bisect_right(starts, block.start) : bisect_right(starts, block.end - 1)]
    if _is_heading(block):
        inside = ()
    for start, end in pairwise([block.start, *inside, block.end]):
        yield Block(block.kind, start, end, block.level, block.title)


def _title(page: Sequence[Block]) -> Sequence[Block]:
    """The headings that a page begins with, each below the one before; none if there is no text."""
    title = list(takewhile(_is_heading, page))
    is_chain = all(a.level < b.level for a, b in pairwise(title))
    return title if is_chain and len(title) < len(page) else ()


def _is_heading(block: Block) -> bool:
    return block.kind is BlockKind.HEADING
