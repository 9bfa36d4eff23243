"""A document's text and blocks in, its chunks out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from uuid import UUID

from ingestion_assets.chunks import divisions
from ingestion_assets.chunks.chunk import Chunk, chunk_id, content_hash
from ingestion_assets.chunks.chunking import SMALLEST, Chunking, Kind
from ingestion_assets.chunks.cuts import Atom, Limits, Seam, cut, measure
from ingestion_assets.chunks.joining import Piece, joined
from ingestion_assets.chunks.leads import Lead, Path, leads
from ingestion_assets.chunks.outline import Section, sections
from ingestion_assets.chunks.packing import join, pack
from ingestion_assets.chunks.tokens import TokenCounter
from ingestion_assets.chunks.windows import windows
from ingestion_assets.documents.document import Block
from ingestion_assets.errors import ConfigError

# Raise it with every change that can move a boundary, a heading path or an offset.
VERSION = 1
_CHARACTERS_PER_TOKEN = 20  # in a chunk as a whole; English has 4 to 5


@dataclass(frozen=True)
class Chunker:
    """Cuts documents into chunks: a chunk stays within one section, blocks are whole if they fit.

    What a section is, and how its blocks are put together, is for the kind of the rules to say.

    Attributes:
        max_tokens: tokens of what is embedded at most: prefix, title, heading path and text,
            special tokens excluded; at least 16. A prefix that ends inside a word is counted as if
            a blank followed it.
        overlap: tokens that neighbouring pieces of one cut block share at most.
        counter: the tokenizer of the model in use.
        rules: of the source; their size and overlap are the two above.
    """

    max_tokens: int
    overlap: int
    counter: TokenCounter
    rules: Chunking = field(default_factory=Chunking)

    def __post_init__(self) -> None:
        if self.max_tokens < SMALLEST:
            raise ConfigError(
                f"chunks of {self.max_tokens} tokens are too small; allow {SMALLEST} or more"
            )

    def fingerprint(self, prefix: str | None) -> str:
        """A short name for everything but the document that decides the chunks."""
        rules = self.rules
        parts = [
            f"{rules.kind}-{VERSION}/{self.counter.name}/{self.max_tokens}-{self.overlap}",
            f"minimum-{rules.minimum}" if rules.minimum else "",
            "" if rules.heading else "bare",
            "titled" if rules.title else "",
            blake2b(prefix.encode(), digest_size=4).hexdigest() if prefix else "",
        ]
        return "/".join(filter(None, parts))

    def split(
        self,
        document_id: UUID,
        text: str,
        blocks: Sequence[Block],
        prefix: str | None,
        *,
        title: str = "",
        pages: Sequence[int] = (),
    ) -> list[Chunk]:
        """The chunks of a document, in order.

        Each chunk's text is exactly text[start:end] without blanks at its edges. A heading line
        that is in the heading path is in the text only where nothing stands below it.

        Args:
            document_id: goes into the chunks' ids.
            text: the document's text.
            blocks: its blocks; what is outside of them is in no chunk.
            prefix: the source's own instruction, embedded before every chunk.
            title: the document's.
            pages: offset of each page's first character, ascending; empty if there are none.

        Raises:
            ConfigError: the prefix takes more than half of a chunk.
        """
        outline = list(self._outline(text, blocks, pages))
        taken = self._prefix_tokens(prefix)
        paths = (section.path for section in outline)
        above = leads(paths, title, self.rules, self.counter, self.max_tokens // 4)
        pieces: Iterable[Piece] = self._pieces(text, outline, taken, above)
        if minimum := self.rules.minimum:
            pieces = joined(text, blocks, list(pieces), minimum, self.counter)
        return list(_chunks(document_id, text, prefix, taken, pieces, above))

    def _outline(
        self, text: str, blocks: Sequence[Block], pages: Sequence[int]
    ) -> Iterable[Section]:
        """What may share a chunk."""
        match self.rules.kind:
            case Kind.STRUCTURE:
                return sections(blocks)
            case Kind.RECURSIVE | Kind.TOKENS:
                return divisions.whole(blocks)
            case Kind.PAGE:
                return divisions.pages(blocks, pages)
            case Kind.SYMBOL:
                return divisions.symbols(blocks)
            case Kind.RECORD:
                return divisions.records(text, blocks)

    def _fill(self, text: str, atoms: Sequence[Atom], limits: Limits) -> Iterable[Atom]:
        """Spans of chunks out of atoms that may share them."""
        match self.rules.kind:
            case Kind.RECURSIVE:
                return join(text, atoms, limits)
            case Kind.TOKENS:
                return windows(text, atoms, limits, self.counter)
            case _:
                return pack(text, atoms, limits)

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

    def _pieces(
        self, text: str, outline: Sequence[Section], taken: int, above: Mapping[Path, Lead]
    ) -> Iterator[Piece]:
        spans = [(block.start, block.end) for section in outline for block in section.blocks]
        counts = iter(measure(text, spans, self._limits(0), self.counter))
        for section in outline:
            atoms = [
                Atom(block.start, block.end, next(counts), Seam.BLOCK) for block in section.blocks
            ]
            limits = self._limits(taken + above[section.path].tokens)
            for span in self._spans(text, section, atoms, limits):
                start, end = _trimmed(text, span)
                if start < end:
                    yield Piece(section.path, start, end, span.tokens, limits)

    def _spans(
        self, text: str, section: Section, whole: Sequence[Atom], limits: Limits
    ) -> Iterator[Atom]:
        """Cut what does not fit and join the rest, never across text that is in no block."""
        run: list[Atom] = []
        for block, atom in zip(section.blocks, whole, strict=True):
            if run and not _only_a_break(text[run[-1].end : block.start]):
                yield from self._fill(text, run, limits)
                run = []
            fits = atom.tokens <= limits.tokens
            run += [atom] if fits else cut(text, block, limits, self.counter)
        yield from self._fill(text, run, limits)


def _chunks(
    document_id: UUID,
    text: str,
    prefix: str | None,
    taken: int,
    pieces: Iterable[Piece],
    above: Mapping[Path, Lead],
) -> Iterator[Chunk]:
    seen: Counter[str] = Counter()
    for ordinal, piece in enumerate(pieces):
        lead, own = above[piece.path], text[piece.start : piece.end]
        embedded = lead.heading if lead.context is None else lead.context
        yield Chunk(
            chunk_id=chunk_id(document_id, own, seen[own]),
            document_id=document_id,
            ordinal=ordinal,
            heading=lead.heading,
            text=own,
            content_hash=content_hash(prefix, embedded, own),
            tokens=taken + lead.tokens + piece.tokens,
            start=piece.start,
            end=piece.end,
            context=lead.context,
        )
        seen[own] += 1


def _only_a_break(gap: str) -> bool:
    return "\n" in gap and gap.isspace()


def _trimmed(text: str, span: Atom) -> tuple[int, int]:
    """The span without the blanks at its edges; nothing is left of a blank one."""
    own = text[span.start : span.end]
    start = span.start + len(own) - len(own.lstrip())
    return start, start + len(own.strip())
