"""What each kind of chunker makes of a document, and what an edit changes of that."""

from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

import pytest

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.chunking import Chunking, Kind
from ingestion_assets.documents import blocks as blocks_of
from ingestion_assets.documents.document import BlockKind
from ingestion_assets_tests.chunks.given import DOCUMENT, WORDPIECE, document, prose, split

Part = str | tuple[BlockKind, str]

GUIDE = ("# Guide", "One.", "## Retries", "Two.", "Three.", "# Index", "Four.")


def of(kind: Kind, *parts: Part, **how: int | str | bool) -> list[Chunk]:
    return split(*parts, rules=Chunking(kind, **how))  # type: ignore[arg-type]


def told(chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
    return [(chunk.heading, chunk.text) for chunk in chunks]


def symbol(name: str, body: str) -> tuple[BlockKind, str]:
    return BlockKind.SYMBOL, f"def {name} ():\n    {body}"


def test_recursive_chunks_take_headings_for_text():
    assert told(of(Kind.RECURSIVE, *GUIDE)) == [("", "\n\n".join(GUIDE))]


def test_recursive_chunks_end_at_paragraphs_then_sentences():
    parts = [prose(4, f"topic {i}") for i in range(30)]
    chunks = of(Kind.RECURSIVE, *parts, prose(60))
    ends = {
        chunk.text.split("\n\n")[-1] for chunk in chunks if chunk.text.split("\n\n")[0] in parts
    }
    assert ends <= set(parts)
    assert all(chunk.text.endswith("seconds.") for chunk in chunks)


def test_recursive_chunks_are_never_so_small_that_two_would_fit_in_one():
    chunks = of(Kind.RECURSIVE, *(prose(1 + i % 4, f"topic {i}") for i in range(60)))
    assert all(left.tokens + right.tokens > 200 for left, right in pairwise(chunks))


def test_windows_are_full_and_overlap():
    text = " ".join(f"word{i}" for i in range(70))
    left, right = split(text, max_tokens=100, overlap=20, rules=Chunking(Kind.TOKENS))
    assert left.tokens > 95
    assert 15 < WORDPIECE.count([text[right.start : left.end]])[0] <= 20


def test_windows_begin_anew_where_a_stretch_of_paragraphs_does():
    parts = [prose(3, f"topic {i}") for i in range(40)]
    chunks = of(Kind.TOKENS, *parts)
    anew = [right for left, right in pairwise(chunks) if left.end <= right.start]
    assert len(anew) > 2
    assert all(chunk.text.startswith("Sentence 0 about") for chunk in anew)
    assert any(right.start < left.end for left, right in pairwise(chunks))


def test_a_page_is_a_chunk_and_its_title_in_the_path():
    parts = ["# Report", "## Sales", "Up.", "## Costs", "Down.", "More.", "Most."]
    text, _ = document(*parts)
    pages = [0, text.index("## Costs"), text.index("More.")]
    chunks = split(*parts, rules=Chunking(Kind.PAGE), pages=pages)
    assert told(chunks) == [
        ("Report > Sales", "Up."),
        ("Report > Costs", "Down."),
        ("Report > Costs", "More.\n\nMost."),
    ]


def test_headings_within_a_page_are_text():
    text, _ = document("# A", "One.", "## B", "Two.", "# C", "# D", "Three.")
    chunks = split(
        "# A", "One.", "## B", "Two.", "# C", "# D", "Three.",
        rules=Chunking(Kind.PAGE), pages=[0, text.index("# C")],
    )  # fmt: skip
    assert told(chunks) == [("A", "One.\n\n## B\n\nTwo."), ("", "# C\n\n# D\n\nThree.")]


def test_a_page_of_a_heading_alone_is_its_text():
    text, _ = document("# Talk", "## Why", "Because.")
    chunks = split(
        "# Talk", "## Why", "Because.", rules=Chunking(Kind.PAGE), pages=[0, text.index("##")]
    )
    assert told(chunks) == [("", "# Talk"), ("Talk > Why", "Because.")]


def test_a_paragraph_is_cut_where_a_page_begins_in_it():
    text = "It goes on from one page to the next."
    chunks = split(text, rules=Chunking(Kind.PAGE), pages=[0, text.index("to the")])
    assert [chunk.text for chunk in chunks] == ["It goes on from one page", "to the next."]


def test_a_page_that_does_not_fit_is_cut():
    text, _ = document("# A", prose(60), "Last page.")
    at = text.index("Last")
    chunks = split("# A", prose(60), "Last page.", rules=Chunking(Kind.PAGE), pages=[0, at])
    assert len(chunks) > 4
    assert {chunk.heading for chunk in chunks} == {"A"}
    assert chunks[-1].text == "Last page."


def test_a_symbol_is_a_chunk_and_its_name_in_the_path():
    [imports, load, save] = of(
        Kind.SYMBOL,
        (BlockKind.CODE, "import os"),
        (BlockKind.CODE, "LIMIT = 3"),
        symbol("load", "return 1"),
        symbol("save", "return 2"),
    )
    assert imports.text == "import os\n\nLIMIT = 3"
    assert (load.heading, load.text) == ("load", symbol("load", "return 1")[1])
    assert save.heading == "save"


def test_a_symbol_that_does_not_fit_is_cut_at_lines_under_its_name():
    body = "\n    ".join(f"call({i}, {i * 7})" for i in range(80))
    chunks = of(Kind.SYMBOL, symbol("run", body))
    assert len(chunks) > 2
    assert {chunk.heading for chunk in chunks} == {"run"}
    assert all(chunk.text.endswith(")") or chunk.text.endswith(":") for chunk in chunks)


def test_records_and_list_items_are_chunks():
    chunks = of(
        Kind.RECORD,
        "# People",
        "Those we know.",
        (BlockKind.RECORD, "name: Ada"),
        (BlockKind.RECORD, "name: Grace"),
        (BlockKind.LIST, "- Emmy"),
    )
    assert [chunk.text for chunk in chunks] == [
        "Those we know.", "name: Ada", "name: Grace", "- Emmy",
    ]  # fmt: skip
    assert {chunk.heading for chunk in chunks} == {"People"}


def test_a_table_row_has_its_header_in_the_path():
    text = "# People\n\n| Name | Born \\| died |\n|:--|--:|\n| Ada | 1815 |\n| Grace | 1906 |\n"
    chunker = Chunker(200, 30, WORDPIECE, Chunking(Kind.RECORD))
    chunks = chunker.split(DOCUMENT, text, blocks_of("text/markdown", text), None)
    assert told(chunks) == [
        ("People > Name | Born \\| died", "| Ada | 1815 |"),
        ("People > Name | Born \\| died", "| Grace | 1906 |"),
    ]


def test_a_table_of_another_form_stays_whole():
    table = "+-----+------+\n| Ada | 1815 |\n+-----+------+"
    assert told(of(Kind.RECORD, (BlockKind.TABLE, table))) == [("", table)]


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.SYMBOL, Kind.RECORD])
def test_without_what_is_looked_for_chunks_are_along_the_structure(kind):
    assert of(kind, *GUIDE) == split(*GUIDE)
    assert of(kind) == []


def test_structure_packs_records_and_keeps_symbols_whole():
    records = [(BlockKind.RECORD, f"name: {name}") for name in ("Ada", "Grace")]
    [chunk] = split(*records)
    assert chunk.text == "name: Ada\n\nname: Grace"
    code = symbol("run", "\n    ".join(f"call({i})" for i in range(20)))
    assert any(code[1] in chunk.text for chunk in split(prose(9), code, prose(9)))


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("text", ["internet" * 500, "人人生而自由。" * 300, "| a b |\n" * 300])
def test_every_kind_covers_any_text_within_the_limit(kind, text):
    parts: list[Part] = [
        "# Guide",
        text,
        (BlockKind.TABLE, text),
        (BlockKind.SYMBOL, f"def {text}"),
        (BlockKind.RECORD, text),
        "# End",
    ]
    rules = Chunking(kind, minimum=20, title=True)
    assert split(*parts, max_tokens=40, rules=rules, title="Title", pages=[0, 11, 50, 700])


def ids(chunks: Sequence[Chunk]) -> set[UUID]:
    return {chunk.chunk_id for chunk in chunks}


Section = tuple[str, list[tuple[BlockKind, str]]]


def handbook(kind: Kind) -> list[Section]:
    """200 sections of what the kind looks for, each with a heading."""
    of_kind = {Kind.SYMBOL: BlockKind.SYMBOL, Kind.RECORD: BlockKind.RECORD}
    block = of_kind.get(kind, BlockKind.PARAGRAPH)
    return [
        (
            f"## Section {i}",
            [(block, prose(2 + (i + k) % 2, f"topic {i}.{k}")) for k in range(1 + i % 5)],
        )
        for i in range(200)
    ]


def split_handbook(kind: Kind, sections: list[Section], minimum: int = 0) -> list[Chunk]:
    parts: list[Part] = []
    for heading, paragraphs in sections:
        parts += [heading, *paragraphs]
    text, blocks = document(*parts)
    pages = [block.start for block in blocks if block.kind is BlockKind.HEADING]
    chunker = Chunker(200, 30, WORDPIECE, Chunking(kind, minimum=minimum))
    return chunker.split(DOCUMENT, text, blocks, None, pages=pages if kind is Kind.PAGE else ())


def edited(sections: list[Section], at: int, *, longer: bool) -> list[Section]:
    """The same with another word in one paragraph, or with one more sentence in it."""
    heading, [(block, text), *others] = sections[at]
    text = f"{text} One more sentence." if longer else text.replace("Sentence", "Clause", 1)
    return [*sections[:at], (heading, [(block, text), *others]), *sections[at + 1 :]]


@pytest.mark.parametrize(
    ("kind", "minimum", "most", "most_if_longer"),
    [
        (Kind.STRUCTURE, 0, 1, 1),
        (Kind.STRUCTURE, 100, 2, 2),
        (Kind.RECURSIVE, 0, 2, 2),
        (Kind.TOKENS, 0, 2, 5),  # what follows in its stretch moves, and the stretch may end sooner
        (Kind.PAGE, 0, 1, 1),
        (Kind.SYMBOL, 0, 1, 1),
        (Kind.RECORD, 0, 1, 1),
        (Kind.RECORD, 100, 2, 2),
    ],
)
def test_an_edited_paragraph_changes_two_chunks_at_most(kind, minimum, most, most_if_longer):
    sections = handbook(kind)
    before = ids(split_handbook(kind, sections, minimum))
    for at in (3, 71, 148):
        after = split_handbook(kind, edited(sections, at, longer=False), minimum)
        assert 1 <= len(ids(after) - before) <= most
    after = split_handbook(kind, edited(sections, 148, longer=True), minimum)
    assert 1 <= len(ids(after) - before) <= most_if_longer


def test_an_inserted_section_leaves_all_other_windows_alone():
    sections = handbook(Kind.TOKENS)
    before = ids(split_handbook(Kind.TOKENS, sections))
    new: Section = ("## New", [(BlockKind.PARAGRAPH, prose(40, "news"))])
    after = split_handbook(Kind.TOKENS, [*sections[:100], new, *sections[100:]])
    assert len(ids(after) - before) <= 10
    assert len(before) > 100
