from importlib.metadata import distributions
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.tokens import Estimate
from ingestion_assets.documents import blocks as blocks_of
from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets.errors import ConfigError
from ingestion_assets_tests.chunks.given import (
    DOCUMENT,
    WORDPIECE,
    Counting,
    check,
    document,
    prose,
    split,
)

LONG = prose(60)
REAL = {".md": "text/markdown", ".rst": "text/x-rst", ".txt": "text/plain"}


def real_texts() -> list[tuple[str, str]]:
    """Media type and text of the documentation that is installed with other people's packages."""
    texts = []
    for distribution in distributions():
        texts.append(("text/markdown", distribution.read_text("METADATA") or ""))
        for file in distribution.files or ():
            path = Path(str(distribution.locate_file(file)))
            if path.suffix in REAL and path.is_file() and path.stat().st_size < 100_000:
                texts.append((REAL[path.suffix], path.read_text("utf-8", "replace")))
    return texts


def ids(chunks: list[Chunk]) -> list[UUID]:
    return [chunk.chunk_id for chunk in chunks]


def test_blocks_of_a_section_are_packed_whole():
    [chunk] = split("# Guide", "First.", "Second.", (BlockKind.CODE, "```\nthird()\n```"))
    assert chunk.heading == "Guide"
    assert chunk.text == "First.\n\nSecond.\n\n```\nthird()\n```"


def test_a_chunk_never_spans_two_sections():
    chunks = split("Before.", "# Guide", "One.", "## Retries", "Two.", "# Guide", "Three.")
    assert [(chunk.heading, chunk.text) for chunk in chunks] == [
        ("", "Before."),
        ("Guide", "One."),
        ("Guide > Retries", "Two."),
        ("Guide", "Three."),
    ]


@pytest.mark.parametrize(
    "block",
    [
        (BlockKind.CODE, "```python\n" + "x = call(1, 2)  # why. not\n" * 12 + "```"),
        (BlockKind.TABLE, "| a | b |\n|---|---|\n" + "| 1. | 2. |\n" * 15),
    ],
)
def test_code_and_tables_that_fit_are_not_cut(block):
    chunks = split("# Guide", prose(9), block, prose(9, "limits"))
    assert any(block[1].strip() in chunk.text for chunk in chunks)


def test_a_table_is_cut_between_rows():
    rows = [f"| row {i} | {i * i} |" for i in range(100)]
    chunks = split((BlockKind.TABLE, "\n".join(rows)))
    assert len(chunks) > 3
    assert all(set(chunk.text.splitlines()) <= set(rows) for chunk in chunks)


def test_a_long_paragraph_is_cut_at_sentence_ends():
    chunks = split("# Guide", LONG)
    assert len(chunks) > 3
    assert all(chunk.text.endswith("seconds.") for chunk in chunks)


def test_pieces_of_one_block_overlap_within_the_limit():
    chunks = split(LONG, overlap=40)
    for left, right in pairwise(chunks):
        shared = LONG[right.start : left.end]
        assert 0 < WORDPIECE.count([shared])[0] <= 40
        assert right.text.startswith("Sentence")


def test_overlap_can_be_switched_off():
    assert all(left.end < right.start for left, right in pairwise(split(LONG, overlap=0)))


def test_little_room_is_not_lost_to_overlap():
    chunks = split(f"# {'heading ' * 45}", LONG, prefix="prefix " * 90, overlap=100)
    assert {chunk.text.split()[-1] for chunk in chunks} <= set(LONG.split())
    assert len(chunks) < 60


def test_sections_do_not_overlap():
    chunks = split("# A", LONG, "# B", LONG)
    [edge] = [(left, right) for left, right in pairwise(chunks) if left.heading != right.heading]
    assert edge[0].end < edge[1].start


def test_the_prefix_takes_part_of_the_room():
    prefix = "search_document: in the handbook of the workshop, "
    chunks = split("# Guide", LONG, prefix=prefix)
    plain = split("# Guide", LONG)
    assert {c.content_hash for c in chunks}.isdisjoint(c.content_hash for c in plain)


def test_a_prefix_that_leaves_no_room_is_refused():
    with pytest.raises(ConfigError, match="INGEST_CHUNK_TOKENS"):
        split("Text.", prefix="word " * 101)


def test_chunks_too_small_to_be_cut_are_refused():
    with pytest.raises(ConfigError, match="16"):
        Chunker(15, 0, WORDPIECE)


def test_a_long_path_is_shortened_from_the_left():
    parts = [f"{'#' * level} Level {level} of the very long handbook" for level in range(1, 7)]
    [chunk] = split(*parts, "Text.", max_tokens=100)
    assert chunk.heading == (
        "… > Level 4 of the very long handbook"
        " > Level 5 of the very long handbook > Level 6 of the very long handbook"
    )


@pytest.mark.parametrize("title", ["very long title " * 50, "unbroken" * 500, "标题" * 300])
def test_a_title_without_end_keeps_its_beginning(title):
    chunks = split(f"# {title}", "Text.", max_tokens=16)
    assert chunks[0].heading.endswith("…")
    assert title.startswith(chunks[0].heading[:-1])
    assert WORDPIECE.count([chunks[0].heading])[0] <= 4


def test_an_empty_document_has_no_chunks():
    assert split() == []
    assert Chunker(200, 30, WORDPIECE).split(DOCUMENT, " \n", [], "prefix: ") == []


def test_a_document_of_headings_has_its_last_ones():
    assert [(c.heading, c.text) for c in split("# A", "## B", "## C")] == [
        ("A", "## B"),
        ("A", "## C"),
    ]


def test_text_outside_of_blocks_is_in_no_chunk():
    text = "One.\n\n<!-- not for readers -->\n\nTwo."
    blocks = [
        Block(BlockKind.PARAGRAPH, 0, 4),
        Block(BlockKind.PARAGRAPH, len(text) - 4, len(text)),
    ]
    chunks = Chunker(200, 30, WORDPIECE).split(DOCUMENT, text, blocks, None)
    assert [chunk.text for chunk in chunks] == ["One.", "Two."]


@pytest.mark.parametrize(
    "text",
    [
        "人人生而自由。在尊严和权利上一律平等。" * 200,
        "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. " * 100,
        "👩‍💻🚀 shipped 🇫🇮. " * 300,
        "한국어는 띄어쓰기가 있다. " * 200,
        "data\x0ctoken data\x85token data\x1dtoken data\u200btoken data\ufffdtoken " * 100,
        "[CLS] not special [SEP] [MASK][PAD] " * 200,
        ". " * 3000,
        "\ufeff\u200b\ufffd" * 3000,
    ],
)
@pytest.mark.parametrize("max_tokens", [16, 200])
def test_any_script_is_covered_within_the_limit(text, max_tokens):
    assert split("# Guide", text, "End.", max_tokens=max_tokens, overlap=max_tokens // 4)


def test_a_line_of_a_megabyte_is_split_in_linear_work():
    counting = Counting()
    text = "internet" * 125_000
    blocks = [Block(BlockKind.PARAGRAPH, 0, len(text))]
    chunks = Chunker(200, 30, counting).split(DOCUMENT, text, blocks, None)
    check(text, blocks, chunks, 200)
    assert counting.characters <= 4 * len(text)


def test_a_table_of_100_000_rows_keeps_its_chunks_when_a_row_is_inserted():
    rows = [f"| {i} | value {i * 7919 % 10007} |" for i in range(100_000)]
    before = split((BlockKind.TABLE, "\n".join(rows)))
    rows.insert(10, "| new | row |")
    after = split((BlockKind.TABLE, "\n".join(rows)))
    assert len(before) > 5000
    assert len(set(ids(after)) - set(ids(before))) <= 10


@pytest.mark.parametrize(("counter", "max_tokens"), [(WORDPIECE, 200), (Estimate(), 64)])
def test_real_documentation_is_covered_within_the_limit(counter, max_tokens):
    texts = real_texts()
    assert len(texts) > 100
    chunker = Chunker(max_tokens, 30, counter)
    for media_type, text in texts:
        blocks = blocks_of(media_type, text)
        chunks = chunker.split(DOCUMENT, text, blocks, "passage: ")
        check(text, blocks, chunks, max_tokens, "passage: ", counter)
        assert chunks or not text.strip()


def handbook(sections: int = 200) -> list[str]:
    parts = []
    for i in range(sections):
        parts += [f"## Section {i}"]
        parts += [prose(2 + (i + k) % 4, f"topic {i}.{k}") for k in range(1 + i % 9)]
    return parts


def test_an_edited_paragraph_changes_at_most_two_chunks():
    before = split("# Handbook", *handbook())
    parts = handbook()
    paragraphs = [i for i, part in enumerate(parts) if not part.startswith("#")]
    for edited in paragraphs[::97]:
        changed = [*parts]
        changed[edited] = changed[edited].replace("Sentence", "Clause", 1)
        after = split("# Handbook", *changed)
        new = [c for c in after if c.chunk_id not in set(ids(before))]
        assert len(new) <= 2
        assert len({c.heading for c in new}) == 1
        assert len(after) == len(before)


def test_an_inserted_section_keeps_all_other_chunks():
    parts = handbook()
    before = split("# Handbook", *parts)
    middle = parts.index("## Section 100")
    after = split("# Handbook", *parts[:middle], "## New", prose(30, "news"), *parts[middle:])
    kept = {c.chunk_id: c.content_hash for c in after if c.heading != "Handbook > New"}
    assert kept == {c.chunk_id: c.content_hash for c in before}


def test_a_renamed_heading_keeps_the_ids_and_changes_the_hashes():
    before, after = split("# Guide", "Text."), split("# Manual", "Text.")
    assert ids(before) == ids(after)
    assert before[0].content_hash != after[0].content_hash


def test_equal_texts_have_ids_of_their_own():
    assert len(set(ids(split("# A", "Same.", "# B", "Same.")))) == 2


def test_splitting_is_repeatable():
    assert split("# A", LONG) == split("# A", LONG)


def test_fingerprint_names_all_that_decides_the_chunks():
    chunkers = [
        Chunker(200, 30, WORDPIECE),
        Chunker(201, 30, WORDPIECE),
        Chunker(200, 31, WORDPIECE),
        Chunker(200, 30, Estimate()),
    ]
    names = {c.fingerprint(prefix) for c in chunkers for prefix in (None, "a: ", "b: ")}
    assert len(names) == 12
    assert chunkers[0].fingerprint(None) == "structure-1/bert-uncased-1/200-30"
    assert chunkers[0].fingerprint(None) == chunkers[0].fingerprint("")


def test_the_document_helper_tells_the_truth():
    text, blocks = document("# A", "b")
    assert [text[b.start : b.end] for b in blocks] == ["# A", "b"]
