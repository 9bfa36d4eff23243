"""Claims about blocks that hold for every text."""

from ingestion_assets import documents
from ingestion_assets.documents.document import Block


def pieces(media_type: str, text: str) -> list[tuple[str, str]]:
    """Kind and text of each block."""
    return [
        (block.kind.value, text[block.start : block.end]) for block in checked(media_type, text)
    ]


def checked(media_type: str, text: str, start: int = 0) -> list[Block]:
    """The blocks, after a look at their offsets, order and coverage from `start` on."""
    found = documents.blocks(media_type, text)
    at = start
    for block in found:
        assert at <= block.start < block.end <= len(text)
        assert not text[at : block.start].strip(), "text between blocks"
        assert text[block.start : block.end].strip()
        assert not text[block.end - 1].isspace()
        at = block.end
    assert not text[at:].strip(), "text after the last block"
    return found
