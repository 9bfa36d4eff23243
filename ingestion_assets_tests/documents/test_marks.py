from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets.documents.marks import Marks


def test_inner_mark_divides_the_outer():
    text = "a\nb\nc"
    marks = Marks(text)
    marks.mark(BlockKind.LIST, 0, 3)
    marks.mark(BlockKind.CODE, 1, 2)
    assert marks.blocks() == [
        Block(BlockKind.LIST, 0, 1),
        Block(BlockKind.CODE, 2, 3),
        Block(BlockKind.LIST, 4, 5),
    ]


def test_unmarked_lines_are_paragraphs():
    assert Marks("\n\nlost\n\n").blocks() == [Block(BlockKind.PARAGRAPH, 2, 6)]


def test_offsets_count_from_the_text_not_from_start():
    assert Marks("skip\nword", start=5).blocks() == [Block(BlockKind.PARAGRAPH, 5, 9)]
