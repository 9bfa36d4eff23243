"""Atoms in, windows of as many tokens as fit out."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ingestion_assets.chunks.cuts import Atom, Limits, words
from ingestion_assets.chunks.packing import join, pack
from ingestion_assets.chunks.tokens import TokenCounter


def windows(
    text: str, atoms: Sequence[Atom], limits: Limits, counter: TokenCounter
) -> Iterator[Atom]:
    """Full windows that overlap, counted anew from every stretch of two windows' length.

    Counted from the document's beginning, one word more would move all windows that follow. A
    stretch is of whole paragraphs, or sentences, that `join` finds, so that it survives edits
    elsewhere; an edit moves the windows of its own stretch only.

    Args:
        text: the document's text.
        atoms: pieces of it with only blanks between them, each within the limits.
        limits: of one window.
        counter: the tokenizer of the model in use.
    """
    stride = limits.tokens - limits.overlap
    stretch = replace(limits, tokens=max(limits.tokens, 2 * stride), overlap=0)
    for span in join(text, atoms, stretch):
        yield from pack(text, list(words(text, span, limits, counter)), limits, full=True)
