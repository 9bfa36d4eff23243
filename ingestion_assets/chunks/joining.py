"""Pieces of a document in, the same with the small ones joined to their neighbours out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise, takewhile

from ingestion_assets.chunks.cuts import Limits
from ingestion_assets.chunks.leads import Path
from ingestion_assets.chunks.merging import merge
from ingestion_assets.chunks.packing import liking
from ingestion_assets.chunks.tokens import TokenCounter
from ingestion_assets.documents.document import Block, BlockKind


@dataclass(frozen=True, slots=True)
class Piece:
    """What becomes a chunk: text[start:end] under a path, without blanks at its edges.

    Attributes:
        tokens: of the text alone.
        limits: of what may stand under this path.
    """

    path: Path
    start: int
    end: int
    tokens: int
    limits: Limits


def joined(
    text: str,
    blocks: Sequence[Block],
    pieces: Sequence[Piece],
    minimum: int,
    counter: TokenCounter,
) -> Iterator[Piece]:
    """Join pieces of less than `minimum` tokens to a neighbour, where both fit under its path.

    A piece that has the more headings in common with the small one is preferred. The heading lines
    between the two become text; the path is that of the first.
    """
    if not pieces:
        return
    gaps = [text[left.end : right.start] for left, right in pairwise(pieces)]
    tokens = [piece.tokens for piece in pieces]
    between = [*counter.count(gaps), 0]
    before = [0, *accumulate(chain.from_iterable(zip(tokens, between, strict=True)))]

    def size(first: int, end: int) -> int:
        return before[2 * end - 1] - before[2 * first]

    def joins(first: int, middle: int, end: int) -> bool:
        limits = pieces[first].limits
        return (
            min(size(first, middle), size(middle, end)) < minimum
            and size(first, end) <= limits.tokens
            and pieces[end - 1].end - pieces[first].start <= limits.characters
            and is_passable[middle - 1]
        )

    headings = [block for block in blocks if block.kind is BlockKind.HEADING]
    is_passable = list(_passable(text, headings, pieces))
    edges = [
        (_in_common(left.path, right.path), liking(text, left.start, left.end))
        for left, right in pairwise(pieces)
    ]
    for first, end in merge(edges, joins):
        one = pieces[first]
        yield Piece(one.path, one.start, pieces[end - 1].end, size(first, end), one.limits)


def _passable(text: str, headings: Sequence[Block], pieces: Sequence[Piece]) -> Iterator[bool]:
    """Whether nothing but whole lines of headings is between each piece and the next."""
    at = 0
    for left, right in pairwise(pieces):
        while at < len(headings) and headings[at].start < left.end:
            at += 1
        edges = [left.end]
        while at < len(headings) and headings[at].end <= right.start:
            edges += [headings[at].start, headings[at].end]
            at += 1
        edges.append(right.start)
        gaps = [text[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]
        yield all("\n" in gap and gap.isspace() for gap in gaps)


def _in_common(left: Path, right: Path) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))))
