"""Atoms in, spans of chunks out: as full as allowed, with ends that survive edits elsewhere."""

from collections.abc import Sequence
from itertools import accumulate
from zlib import crc32

from ingestion_assets.chunks.cuts import Atom, Limits, Seam

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

    def reach(self, first: int, end: int) -> int:
        """The furthest end of a chunk that has the atoms from `first` to `end` at least."""
        while (
            end < len(self.atoms)
            and self.atoms[end - 1].seam is not Seam.TOKEN
            and self.fits(first, end + 1)
        ):
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
        return min(reversed(equals), key=self._liking, default=reach)

    def _liking(self, end: int) -> int:
        edge = self.atoms[end - 1].end
        words = self.text[max(self.atoms[0].start, edge - _CONTEXT) : edge].rstrip()
        return crc32(words.encode("utf-8", "surrogatepass"))

    def overlap(self, first: int, done: int) -> int:
        """Where the chunk after first..done starts: earlier than `done` if that is inside a block.

        As far back as the limit and the next atom allow; at the start of a sentence if there is
        one, else of a word.
        """
        starts = []
        start = done - 1
        while start > first and self._may_share(start, done):
            starts.append(start)
            start -= 1
        sentences = [start for start in starts if self.atoms[start - 1].seam <= Seam.SENTENCE]
        return min(sentences or starts, default=done)

    def _may_share(self, start: int, done: int) -> bool:
        return (
            self.atoms[start].seam in (Seam.SENTENCE, Seam.WORD)
            and self.tokens(start, done) <= self.limits.overlap
            and self.fits(start, done + 1)
        )


def pack(text: str, atoms: Sequence[Atom], limits: Limits) -> list[Atom]:
    """Join neighbouring atoms into chunks.

    Args:
        text: the document's text.
        atoms: pieces of one section with only blanks between them, each within the limits.
        limits: what one chunk may hold.

    Returns:
        The chunks' spans, in order; two that come from one block may overlap.
    """
    packing = _Packing(text, atoms, limits)
    chunks = []
    first = done = 0
    while done < len(atoms):
        end = packing.end(first, done)
        last = atoms[end - 1]
        chunks.append(Atom(atoms[first].start, last.end, packing.tokens(first, end), last.seam))
        first, done = (packing.overlap(first, end) if end < len(atoms) else end), end
    return chunks
