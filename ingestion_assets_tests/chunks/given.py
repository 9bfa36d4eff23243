"""Documents made by hand: blocks with their text, one after the other."""

from collections.abc import Sequence
from uuid import UUID

from ingestion_assets.chunks.chunk import Chunk, embedded_text
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.chunking import Chunking
from ingestion_assets.chunks.tokens import TokenCounter, counter_for
from ingestion_assets.documents.document import Block, BlockKind

DOCUMENT = UUID("0123456789abcdef0123456789abcdef")
WORDPIECE = counter_for("all-minilm")


class Counting:
    """A token counter that adds up the work it is given."""

    def __init__(self, counter: TokenCounter = WORDPIECE) -> None:
        self.counter, self.characters = counter, 0

    @property
    def name(self) -> str:
        return self.counter.name

    def count(self, texts: Sequence[str]) -> list[int]:
        self.characters += sum(map(len, texts))
        return self.counter.count(texts)

    def spans(self, text: str) -> list[tuple[int, int]]:
        self.characters += len(text)
        return self.counter.spans(text)


def document(*parts: str | tuple[BlockKind, str]) -> tuple[str, list[Block]]:
    """A Markdown document: strings are headings if they begin with #, else paragraphs.

    The name of a symbol is the second word of its text.
    """
    text, blocks = "", []
    for part in parts:
        kind, own = part if isinstance(part, tuple) else (BlockKind.PARAGRAPH, part)
        level = len(own) - len(own.lstrip("#")) if isinstance(part, str) else 0
        title = own.lstrip("# ") if level else ""
        title = own.split()[1] if kind is BlockKind.SYMBOL else title
        kind = BlockKind.HEADING if level else kind
        blocks.append(Block(kind, len(text), len(text) + len(own), level, title))
        text += own + "\n\n"
    return text, blocks


def split(
    *parts: str | tuple[BlockKind, str],
    max_tokens: int = 200,
    overlap: int = 30,
    prefix: str | None = None,
    rules: Chunking | None = None,
    title: str = "",
    pages: Sequence[int] = (),
) -> list[Chunk]:
    """Split such a document with the real tokenizer, and check what must always hold."""
    text, blocks = document(*parts)
    chunker = Chunker(max_tokens, overlap, WORDPIECE, rules or Chunking())
    chunks = chunker.split(DOCUMENT, text, blocks, prefix, title=title, pages=pages)
    check(text, blocks, chunks, max_tokens, prefix)
    return chunks


def check(
    text: str,
    blocks: Sequence[Block],
    chunks: Sequence[Chunk],
    max_tokens: int,
    prefix: str | None = None,
    counter: TokenCounter = WORDPIECE,
) -> None:
    """What holds for the chunks of any text."""
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text == chunk.text.strip() != ""
    starts, ends = [c.start for c in chunks], [c.end for c in chunks]
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    contexts = [c.heading if c.context is None else c.context for c in chunks]
    embedded = [
        (prefix or "") + embedded_text(context, c.text)
        for context, c in zip(contexts, chunks, strict=True)
    ]
    assert counter.count(embedded) == [chunk.tokens for chunk in chunks]
    assert all(chunk.tokens <= max_tokens for chunk in chunks)
    assert uncovered(text, blocks, chunks) == ""


def uncovered(text: str, blocks: Sequence[Block], chunks: Sequence[Chunk]) -> str:
    """Text of blocks other than headings that is in no chunk, blanks aside."""
    in_chunk = bytearray(len(text))
    for chunk in chunks:
        in_chunk[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
    return "".join(
        text[i]
        for block in blocks
        if block.kind is not BlockKind.HEADING
        for i in range(block.start, block.end)
        if not in_chunk[i] and not text[i].isspace()
    )


def prose(sentences: int, topic: str = "retries", start: int = 0) -> str:
    """A paragraph whose sentences are all different."""
    return " ".join(
        f"Sentence {i} about {topic} says that attempt {i * 7} waits {i * 3} seconds."
        for i in range(start, start + sentences)
    )
