"""A chunk, its stable id, and the exact text that is embedded for it."""

from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Chunk:
    """One row of the chunks table.

    Attributes:
        ordinal: position in the document, from 0.
        heading: the path of headings above it, joined with " > ".
        text: the document's text from `start` to `end`.
        content_hash: 16 bytes of BLAKE2b over what is embedded; names the vector.
        tokens: tokens of what is embedded, special tokens excluded.
        start: offset of its first character in the document's text.
        end: offset after its last character.
        context: what is embedded before the text in the place of the heading; none if that is.
    """

    chunk_id: UUID
    document_id: UUID
    ordinal: int
    heading: str
    text: str
    content_hash: bytes
    tokens: int
    start: int
    end: int
    context: str | None = None


def embedded_text(context: str, text: str) -> str:
    """The text that is embedded for a chunk, with its heading path or what is in its place."""
    return f"{context}\n\n{text}" if context else text


def content_hash(prefix: str | None, context: str, text: str) -> bytes:
    """Name what is embedded; `prefix` is the source's own instruction, if it has one.

    An empty instruction is not none: it stands in the place of the model's own.
    """
    lead = "" if prefix is None else f"{prefix}\0"
    content = f"{lead}\0{embedded_text(context, text)}"
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def chunk_id(document_id: UUID, text: str, occurrence: int) -> UUID:
    """A stable id: same document, same text, same occurrence of it in the document.

    The first half is the document's, so that a document's chunks are neighbours in the index.
    """
    own = blake2b(document_id.bytes, digest_size=8)
    own.update(f"{occurrence}\0{text}".encode("utf-8", "surrogatepass"))
    return UUID(bytes=document_id.bytes[:8] + own.digest())
