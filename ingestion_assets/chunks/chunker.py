"""A document's text and blocks in, its chunks out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from ingestion_assets.chunks.chunk import Chunk, chunk_id, content_hash
from ingestion_assets.chunks.cuts import Atom, Limits, Seam, cut, measure
from ingestion_assets.chunks.outline import Section, sections
from ingestion_assets.chunks.packing import pack
from ingestion_assets.chunks.tokens import TokenCounter
from ingestion_assets.documents.document import Block
from ingestion_assets.errors import ConfigError

# Raise it with every change that can move a boundary, a heading path or an offset.
ALGORITHM = "structure-1"
_CHARACTERS_PER_TOKEN = 20  # in a chunk as a whole; English has 4 to 5


@dataclass(frozen=True, slots=True)
class _Heading:
    text: str
    tokens: int


@dataclass(frozen=True)
class Chunker:
    """Cuts documents into chunks along their structure.

    A chunk stays within one section, and blocks stay whole where they fit.

    Attributes:
        max_tokens: tokens of what is embedded at most: prefix, heading path and text, special
            tokens excluded; at least 16. A prefix that ends inside a word is counted as if a
            blank followed it.
        overlap: tokens that neighbouring pieces of one cut block share at most.
        counter: the tokenizer of the model in use.
    """

    max_tokens: int
    overlap: int
    counter: TokenCounter

    def __post_init__(self) -> None:
        if self.max_tokens < 16:
            raise ConfigError(f"chunks of {self.max_tokens} tokens are too small; allow 16 or more")

    def fingerprint(self, prefix: str | None) -> str:
        """A short name for everything but the document that decides the chunks."""
        name = f"{ALGORITHM}/{self.counter.name}/{self.max_tokens}-{self.overlap}"
        if not prefix:
            return name
        return f"{name}/{blake2b(prefix.encode(), digest_size=4).hexdigest()}"

    def split(
        self, document_id: UUID, text: str, blocks: Sequence[Block], prefix: str | None
    ) -> list[Chunk]:
        """The chunks of a document, in order.

        Each chunk's text is exactly text[start:end] without blanks at its edges. A heading line is
        in the heading path; it is in the text only where nothing stands below it.

        Args:
            document_id: goes into the chunks' ids.
            text: the document's text.
            blocks: its blocks; what is outside of them is in no chunk.
            prefix: the source's own instruction, embedded before every chunk.

        Raises:
            ConfigError: the prefix takes more than half of a chunk.
        """
        outline = list(sections(blocks))
        taken = self._prefix_tokens(prefix)
        headings = self._headings([section.path for section in outline])
        counts = iter(self._counts(text, outline))
        seen: Counter[str] = Counter()
        chunks: list[Chunk] = []
        for section in outline:
            heading = headings[section.path]
            atoms = [
                Atom(block.start, block.end, next(counts), Seam.BLOCK) for block in section.blocks
            ]
            limits = self._limits(taken + heading.tokens)
            for span in self._spans(text, section, atoms, limits):
                start, end = _trimmed(text, span)
                own = text[start:end]
                if not own:
                    continue
                chunks.append(
                    Chunk(
                        chunk_id=chunk_id(document_id, own, seen[own]),
                        document_id=document_id,
                        ordinal=len(chunks),
                        heading=heading.text,
                        text=own,
                        content_hash=content_hash(prefix, heading.text, own),
                        tokens=taken + heading.tokens + span.tokens,
                        start=start,
                        end=end,
                    )
                )
                seen[own] += 1
        return chunks

    def _limits(self, taken: int) -> Limits:
        room = self.max_tokens - taken
        return Limits(room, _CHARACTERS_PER_TOKEN * self.max_tokens, min(self.overlap, room // 2))

    def _prefix_tokens(self, prefix: str | None) -> int:
        [tokens] = self.counter.count([prefix or ""])
        if tokens > self.max_tokens // 2:
            raise ConfigError(
                f"prefix {prefix!r} takes {tokens} of a chunk's {self.max_tokens} tokens; "
                "shorten it, or set INGEST_CHUNK_TOKENS higher"
            )
        return tokens

    def _counts(self, text: str, outline: Sequence[Section]) -> list[int]:
        spans = [(block.start, block.end) for section in outline for block in section.blocks]
        return measure(text, spans, self._limits(0), self.counter)

    def _spans(
        self, text: str, section: Section, whole: Sequence[Atom], limits: Limits
    ) -> Iterator[Atom]:
        """Cut what does not fit and pack the rest, never across text that is in no block."""
        run: list[Atom] = []
        for block, atom in zip(section.blocks, whole, strict=True):
            if run and not _only_a_break(text[run[-1].end : block.start]):
                yield from pack(text, run, limits)
                run = []
            fits = atom.tokens <= limits.tokens
            run += [atom] if fits else cut(text, block, limits, self.counter)
        yield from pack(text, run, limits)

    def _headings(self, paths: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], _Heading]:
        """Each path as one line, of at most a quarter of a chunk."""
        unique = list(dict.fromkeys(paths))
        lines = [" > ".join(path) for path in unique]
        return {
            path: _Heading(line, tokens)
            if tokens <= self.max_tokens // 4
            else self._shortened(path)
            for path, line, tokens in zip(unique, lines, self.counter.count(lines), strict=True)
        }

    def _shortened(self, path: tuple[str, ...]) -> _Heading:
        """The path without its first titles; at worst the beginning of the last one."""
        limit = self.max_tokens // 4
        lines = [" > ".join(("…", *path[i:])) for i in range(1, len(path))]
        for line, tokens in zip(lines, self.counter.count(lines), strict=True):
            if tokens <= limit:
                return _Heading(line, tokens)
        cuts = [start for start, _ in self.counter.spans(path[-1])]
        line = path[-1][: cuts[limit - 1]].rstrip() + "…" if len(cuts) >= limit else path[-1]
        return _Heading(line, self.counter.count([line])[0])


def _only_a_break(gap: str) -> bool:
    return "\n" in gap and gap.isspace()


def _trimmed(text: str, span: Atom) -> tuple[int, int]:
    """The span without the blanks at its edges; nothing is left of a blank one."""
    own = text[span.start : span.end]
    start = span.start + len(own) - len(own.lstrip())
    return start, start + len(own.strip())
