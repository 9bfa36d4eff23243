"""A block in, atoms out: the pieces that packing never cuts, with their tokens."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, pairwise
from typing import NamedTuple

from ingestion_assets.chunks.tokens import TokenCounter
from ingestion_assets.documents.document import Block, BlockKind


class Seam(IntEnum):
    """Where an atom ends; the lower, the better a place to end a chunk."""

    BLOCK = 0
    SENTENCE = 1  # or line, in code, tables and lists
    WORD = 2
    TOKEN = 3


class Atom(NamedTuple):
    """A piece of a document's text, from `start` to `end`, blanks after it included."""

    start: int
    end: int
    tokens: int
    seam: Seam


@dataclass(frozen=True, slots=True)
class Limits:
    """What fits in a chunk of one section, heading and prefix already taken off.

    Attributes:
        characters: a bound for text with hardly any tokens in it.
        overlap: tokens that two neighbouring pieces of one block may share.
    """

    tokens: int
    characters: int
    overlap: int


# Blanks that separate words for the tokenizer too: it drops control characters such as \f.
_BLANK = r"[^\S\x0b\x0c\x1c-\x1f\x85]"
_LINE = re.compile(r"\n+")
_FULL_STOP = "。！？｡؟۔।॥"  # noqa: RUF001  # need no blank after them
_COMMA = "、，；："  # noqa: RUF001
_CLOSING = "\"'»”’」』)）\\]*_`"  # noqa: RUF001
_SENTENCE = re.compile(
    rf"[.!?…][{_CLOSING}]*{_BLANK}+|[{_FULL_STOP}][{_CLOSING}{_FULL_STOP}]*{_BLANK}*"
)
_WORD = re.compile(rf"{_BLANK}+|[{_COMMA}]")
_BLANKS = re.compile(rf"{_BLANK}+")

_PROSE = ((_SENTENCE, Seam.SENTENCE), (_WORD, Seam.WORD))
_ROWS = ((_LINE, Seam.SENTENCE), (_WORD, Seam.WORD))
_ITEMS = ((_LINE, Seam.SENTENCE), *_PROSE)
_LEVELS = {
    BlockKind.HEADING: _PROSE,
    BlockKind.PARAGRAPH: _PROSE,
    BlockKind.LIST: _ITEMS,
    BlockKind.CODE: _ROWS,
    BlockKind.TABLE: _ROWS,
    BlockKind.RECORD: _ITEMS,
    BlockKind.SYMBOL: _ROWS,
}
_OF_LINES = (BlockKind.CODE, BlockKind.TABLE, BlockKind.SYMBOL)
_WINDOW = 3  # characters looked at for each token wanted; a long word has about two


def measure(
    text: str, spans: Sequence[tuple[int, int]], limits: Limits, counter: TokenCounter
) -> list[int]:
    """The tokens of each span; one that is too long to be worth counting has one too many."""
    short = [text[start:end] for start, end in spans if end - start <= limits.characters]
    counts = iter(counter.count(short))
    return [
        next(counts) if end - start <= limits.characters else limits.tokens + 1
        for start, end in spans
    ]


def cut(text: str, block: Block, limits: Limits, counter: TokenCounter) -> list[Atom]:
    """Cut a block that does not fit: at lines or sentences, then at words, then between tokens.

    Prose is cut finer than need be, down to the overlap, so that pieces can share some of it.
    """
    grain = limits.tokens if block.kind in _OF_LINES else limits.overlap or limits.tokens
    atoms = [Atom(block.start, block.end, limits.tokens + 1, Seam.BLOCK)]
    for separator, seam in _LEVELS[block.kind]:
        parts = [_split(text, atom, separator) if atom.tokens > grain else [] for atom in atoms]
        counts = iter(measure(text, list(chain.from_iterable(parts)), limits, counter))
        atoms = [
            finer
            for atom, spans in zip(atoms, parts, strict=True)
            for finer in ([_atom(atom, span, next(counts), seam) for span in spans] or [atom])
        ]
    return [
        finer
        for atom in atoms
        for finer in (
            [atom] if atom.tokens <= limits.tokens else _between_tokens(text, atom, limits, counter)
        )
    ]


def words(text: str, whole: Atom, limits: Limits, counter: TokenCounter) -> Iterator[Atom]:
    """The words of a span, counted all at once; a word that does not fit is cut."""
    starts = [whole.start + first for first, _ in counter.spans(text[whole.start : whole.end])]
    for start, end in _split(text, whole, _BLANKS):
        tokens = bisect_left(starts, end) - bisect_left(starts, start)
        if tokens <= limits.tokens:
            yield Atom(start, end, tokens, Seam.WORD)
        else:
            yield from cut(text, Block(BlockKind.PARAGRAPH, start, end), limits, counter)


def _split(text: str, atom: Atom, separator: re.Pattern[str]) -> list[tuple[int, int]]:
    found = (match.end() for match in separator.finditer(text, atom.start, atom.end))
    inner = [edge for edge in found if edge < atom.end]
    return list(pairwise([atom.start, *inner, atom.end]))


def _atom(whole: Atom, span: tuple[int, int], tokens: int, seam: Seam) -> Atom:
    start, end = span
    return Atom(start, end, tokens, whole.seam if end == whole.end else seam)


def _between_tokens(text: str, atom: Atom, limits: Limits, counter: TokenCounter) -> Iterator[Atom]:
    """Cut inside a word, in linear time.

    What follows a cut is read anew: the rest of a word may have other tokens on its own.
    """
    start = atom.start
    while start < atom.end:
        end = min(start + _WINDOW * limits.tokens, atom.end)
        tokens = [first for first, _ in counter.spans(text[start:end])]
        if len(tokens) > limits.tokens:
            end = start + tokens[limits.tokens]
        count = sum(first < end - start for first in tokens)
        yield _atom(atom, (start, end), count, Seam.TOKEN)
        start = end
