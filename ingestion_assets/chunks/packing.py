"""Atoms in, spans of chunks out: as full as allowed, with ends that survive edits elsewhere."""

from collections.abc import Sequence
from itertools import accumulate
from zlib import crc32

from ingestion_assets.chunks.cuts import Atom, Limits, Seam
from ingestion_assets.chunks.merging import merge

_CONTEXT = 64  # characters before an end that decide how well it is liked


class _Packing:
    def __init__(self, text: str, atoms: Sequence[Atom], limits: Limits) -> None:
        self.text, self.atoms, self.limits = text, atoms, limits
        self.before = [0, *accumulate(atom.tokens for atom in atoms)]

    def tokens(self, first: int, end: int) -> int:
        return self.before[end] - self.before[first]

    def fits(self, first: int, end: int) -> bool:
        length = self.atoms[end - 1].end - self.atoms[first].start
        return self.tokens(first, end) <= self.limits.tokens and length <= self.limits.characters

    def joins(self, first: int, middle: int, end: int) -> bool:
        """Whether a chunk may go on from first..middle to `end`."""
        return self.atoms[middle - 1].seam is not Seam.TOKEN and self.fits(first, end)

    def reach(self, first: int, end: int) -> int:
        """The furthest end of a chunk that has the atoms from `first` to `end` at least."""
        while end < len(self.atoms) and self.joins(first, end, end + 1):
            end += 1
        return end

    def end(self, first: int, done: int) -> int:
        """Where the chunk that starts at `first` ends, beyond `done`.

        Of the ends that leave it at least half full, the best seam wins, and among equals the one
        whose own words hash lowest: after an edit the ends fall back into step, where a simple
        "as much as fits" would move every end that follows.
        """
        reach = self.reach(first, done + 1)
        if reach == len(self.atoms):
            return reach
        half = self.limits.tokens // 2
        ends = [end for end in range(done + 1, reach + 1) if self.tokens(first, end) >= half]
        best = min((self.atoms[end - 1].seam for end in ends), default=None)
        equals = [end for end in ends if self.atoms[end - 1].seam is best]
        return min(reversed(equals), key=self.liking, default=reach)

    def liking(self, end: int) -> int:
        return liking(self.text, self.atoms[0].start, self.atoms[end - 1].end)

    def overlap(self, first: int, done: int, end: int) -> int:
        """Where the chunk after first..done starts: earlier than `done` if that is inside a block.

        As far back as the limit and its own atoms, up to `end`, allow; at the start of a sentence
        if there is one, else of a word.
        """
        starts = []
        start = done - 1
        while start > first and self._may_share(start, done, end):
            starts.append(start)
            start -= 1
        sentences = [start for start in starts if self.atoms[start - 1].seam <= Seam.SENTENCE]
        return min(sentences or starts, default=done)

    def _may_share(self, start: int, done: int, end: int) -> bool:
        return (
            self.atoms[start].seam in (Seam.SENTENCE, Seam.WORD)
            and self.tokens(start, done) <= self.limits.overlap
            and self.fits(start, end)
        )

    def span(self, first: int, end: int) -> Atom:
        last = self.atoms[end - 1]
        return Atom(self.atoms[first].start, last.end, self.tokens(first, end), last.seam)


def liking(text: str, start: int, edge: int) -> int:
    """How well an end is liked, by the words before it from `start` on; the lower, the better."""
    words = text[max(start, edge - _CONTEXT) : edge].rstrip()
    return crc32(words.encode("utf-8", "surrogatepass"))


def pack(text: str, atoms: Sequence[Atom], limits: Limits, *, full: bool = False) -> list[Atom]:
    """Join neighbouring atoms into chunks, from the first to the last.

    Args:
        text: the document's text.
        atoms: pieces of one section with only blanks between them, each within the limits.
        limits: what one chunk may hold.
        full: end a chunk only where no more fits, rather than where it is best.

    Returns:
        The chunks' spans, in order; two that come from one block may overlap.
    """
    packing = _Packing(text, atoms, limits)
    chunks = []
    first = done = 0
    while done < len(atoms):
        end = packing.reach(first, done + 1) if full else packing.end(first, done)
        chunks.append(packing.span(first, end))
        first, done = (packing.overlap(first, end, end + 1) if end < len(atoms) else end), end
    return chunks


def join(text: str, atoms: Sequence[Atom], limits: Limits) -> list[Atom]:
    """Join neighbouring atoms into chunks, over words first, then sentences, then blocks.

    Unlike `pack` it needs no sections to keep an edit from moving what follows; its chunks are as
    full on average, but may be small. Arguments and result are those of `pack`.
    """
    if not atoms:
        return []
    packing = _Packing(text, atoms, limits)
    edges = [(atom.seam.value, packing.liking(at + 1)) for at, atom in enumerate(atoms[:-1])]
    chunks, before = [], 0
    for first, end in merge(edges, packing.joins):
        chunks.append(packing.span(packing.overlap(before, first, end), end))
        before = first
    return chunks
