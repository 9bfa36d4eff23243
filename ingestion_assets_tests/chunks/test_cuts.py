from itertools import pairwise

import pytest

from ingestion_assets.chunks.cuts import Atom, Limits, Seam, cut, measure
from ingestion_assets.chunks.tokens import TokenCounter
from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets_tests.chunks.given import WORDPIECE, Counting, prose


def cut_text(
    text: str,
    kind: BlockKind = BlockKind.PARAGRAPH,
    *,
    tokens: int = 20,
    overlap: int = 0,
    counter: TokenCounter = WORDPIECE,
) -> tuple[list[Atom], list[str]]:
    limits = Limits(tokens, 20 * tokens, overlap)
    atoms = cut(text, Block(kind, 0, len(text)), limits, counter)
    assert (atoms[0].start, atoms[-1].end) == (0, len(text))
    assert all(left.end == right.start for left, right in pairwise(atoms))
    assert all(atom.tokens <= tokens for atom in atoms)
    texts = [text[atom.start : atom.end] for atom in atoms]
    assert counter.count(texts) == [atom.tokens for atom in atoms]
    return atoms, texts


def test_prose_is_cut_at_sentence_ends():
    atoms, texts = cut_text("It failed. Was it retried? Yes!", tokens=7)
    assert texts == ["It failed. ", "Was it retried? ", "Yes!"]
    assert [atom.seam for atom in atoms] == [Seam.SENTENCE, Seam.SENTENCE, Seam.BLOCK]


def test_a_long_sentence_is_cut_at_words():
    atoms, texts = cut_text("one two three. " + "four " * 30 + "end", tokens=10)
    assert texts[:3] == ["one two three. ", "four ", "four "]
    assert {atom.seam for atom in atoms[1:-1]} == {Seam.WORD}


def test_prose_is_cut_as_fine_as_the_overlap():
    _, texts = cut_text("one two three. four five six.", tokens=20, overlap=3)
    assert texts == ["one ", "two ", "three. ", "four ", "five ", "six."]


@pytest.mark.parametrize("kind", [BlockKind.CODE, BlockKind.TABLE])
def test_rows_are_cut_only_where_they_do_not_fit(kind):
    _, texts = cut_text("a b. c d\n\n  e f. g\n" + "h " * 30, kind, tokens=20, overlap=3)
    assert texts[:3] == ["a b. c d\n\n", "  e f. g\n", "h "]


def test_lists_are_cut_at_items_then_sentences():
    _, texts = cut_text("- One. Two.\n- Three is a longer one. Four.\n", BlockKind.LIST, tokens=8)
    assert texts == ["- One. Two.\n", "- Three is a longer one. ", "Four.\n"]


def test_chinese_and_japanese_need_no_blanks():
    _, texts = cut_text("人人生而自由。在尊严上一律平等!他们、赋有理性。" * 2, tokens=12)
    assert texts[0] == "人人生而自由。"


@pytest.mark.parametrize(
    "text",
    [
        "abcdefghij" * 300,
        "\ufffd" * 5000,
        "😀🚀" * 2000,
        "한국" * 500,
        "e\u0301" * 3000,
        "a\x0cb" * 1000,
        "มนุษย์ทั้งหลายเกิดมา" * 100,
        "aGVsbG8gd29ybGQ0" * 200,
        '{"a":1,"b":[2,3]},' * 200,
        "x" + " " * 5000 + "y",
    ],
)
def test_text_without_boundaries_is_cut_between_tokens(text):
    cut_text(text, tokens=8)


def test_a_line_without_boundaries_takes_linear_work():
    def work(n: int) -> int:
        counting = Counting()
        cut_text("Zm9vYmFy" * (n // 8), tokens=190, counter=counting)
        return counting.characters

    assert work(200_000) <= 10 * work(20_000) * 1.05


def test_work_does_not_depend_on_the_form_of_the_text():
    for text in (prose(2000), "row | of | cells\n" * 10_000, "人人生而自由。" * 10_000):
        counting = Counting()
        cut_text(text, BlockKind.LIST, tokens=190, overlap=20, counter=counting)
        assert counting.characters <= 5 * len(text)


def test_what_is_too_long_to_count_is_not_counted():
    counting = Counting()
    limits = Limits(tokens=10, characters=200, overlap=0)
    assert measure("a " * 500, [(0, 20), (0, 1000), (20, 24)], limits, counting) == [10, 11, 2]
    assert counting.characters == 24
