from itertools import pairwise

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.chunking import Chunking, Kind
from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets_tests.chunks.given import DOCUMENT, WORDPIECE, prose, split

SMALL = Chunking(minimum=40)


def told(chunks: list[Chunk]) -> list[tuple[str, str]]:
    return [(chunk.heading, chunk.text) for chunk in chunks]


def test_small_sections_are_joined_with_their_headings_between():
    chunks = split("# Terms", "## A", "First.", "## B", "Second.", rules=SMALL)
    assert told(chunks) == [("Terms > A", "First.\n\n## B\n\nSecond.")]


def test_a_small_section_joins_what_it_has_more_headings_in_common_with():
    parts = ["# A", prose(5), "# B", "## One", "Small.", "## Two", prose(5)]
    chunks = split(*parts, rules=SMALL)
    assert [chunk.heading for chunk in chunks] == ["A", "B > One"]


def test_what_is_large_enough_is_left_alone():
    parts = ["# A", prose(5), "# B", prose(5)]
    assert split(*parts, rules=SMALL) == split(*parts)


def test_nothing_is_joined_beyond_the_size():
    chunks = split("# A", prose(15), "# B", "Small.", "# C", prose(15), max_tokens=198, rules=SMALL)
    assert [chunk.heading for chunk in chunks] == ["A", "B", "C"]


def test_nothing_is_joined_over_text_that_is_in_no_block():
    text = "One.\n\n<!-- not for readers -->\n\nTwo."
    blocks = [
        Block(BlockKind.PARAGRAPH, 0, 4),
        Block(BlockKind.PARAGRAPH, len(text) - 4, len(text)),
    ]
    chunks = Chunker(200, 30, WORDPIECE, SMALL).split(DOCUMENT, text, blocks, None)
    assert [chunk.text for chunk in chunks] == ["One.", "Two."]


def test_small_records_are_joined_until_they_are_large_enough():
    rows = [(BlockKind.RECORD, f"name: person {i}; born: {1800 + i}") for i in range(60)]
    chunks = split(*rows, rules=Chunking(Kind.RECORD, minimum=40))
    assert 5 < len(chunks) < 40
    assert not any(
        min(left.tokens, right.tokens) < 40 and left.tokens + right.tokens <= 200
        for left, right in pairwise(chunks)
    )


def test_pieces_that_overlap_are_not_joined():
    chunks = split(prose(25), rules=Chunking(minimum=200))
    assert any(right.start < left.end for left, right in pairwise(chunks))
