import pytest

from ingestion_assets import documents
from ingestion_assets.errors import ExtractionError
from ingestion_assets_tests.documents.drawn import Rule, paragraph, pdf
from ingestion_assets_tests.documents.given import checked

WORDS = ["some words that fill the line of a column", "and some more of them in the next line"]


def text_of(raw: bytes) -> str:
    extract = documents.extract("a.pdf", raw)
    checked(extract.media_type, extract.text)
    return extract.text


def test_what_is_larger_or_bold_is_a_heading_by_its_rank():
    page = [
        (72, 700, 20, "Helvetica", "Chapter"),
        *paragraph(72, 660, WORDS),
        (72, 600, 14, "Helvetica", "Section"),
        *paragraph(72, 570, WORDS),
        (72, 520, 10, "Helvetica-Bold", "Subsection"),
        *paragraph(72, 500, WORDS),
    ]
    body = " ".join(WORDS)
    assert text_of(pdf([page])) == (
        f"# Chapter\n\n{body}\n\n## Section\n\n{body}\n\n### Subsection\n\n{body}"
    )


def test_the_first_heading_is_the_title():
    page = [(72, 700, 20, "Helvetica", "Chapter"), *paragraph(72, 660, WORDS)]
    assert documents.extract("dir/a.pdf", pdf([page])).title == "Chapter"


def test_two_columns_are_read_one_after_the_other():
    left = paragraph(72, 700, ["left one", "left two", "left three"])
    right = paragraph(320, 700, ["right one", "right two"])
    assert text_of(pdf([left + right])) == "left one left two left three\n\nright one right two"


def test_space_and_indents_divide_paragraphs():
    page = [
        *paragraph(72, 700, WORDS),
        *paragraph(72, 660, WORDS),
        (90, 636, 10, "Helvetica", "An indented line begins a paragraph"),
        (72, 624, 10, "Helvetica", "which goes on at the margin."),
    ]
    body = " ".join(WORDS)
    last = "An indented line begins a paragraph which goes on at the margin."
    assert text_of(pdf([page])) == f"{body}\n\n{body}\n\n{last}"


def test_a_line_that_ends_early_stays_a_line():
    page = [*paragraph(72, 700, WORDS), *paragraph(72, 660, ["Ada Byron", "12 Long Street"])]
    assert text_of(pdf([page])).endswith("\n\nAda Byron\n12 Long Street")


def test_an_exponent_stays_in_its_line():
    page = [
        (72, 700, 10, "Helvetica", "the sum of all x"),
        (147, 704, 7, "Helvetica", "2"),
        (153, 700, 10, "Helvetica", "in the rows of the table"),
        (72, 688, 10, "Helvetica", "and in its columns."),
    ]
    said = text_of(pdf([page]))
    assert "\n" not in said
    assert said.startswith("the sum of all x 2")


def test_a_divided_word_is_joined():
    assert text_of(pdf([paragraph(72, 700, ["a word that was docu-", "mented here"])])) == (
        "a word that was documented here"
    )


def test_items_are_items_and_code_keeps_its_lines():
    page = [
        (72, 700, 10, "Helvetica", "\u2022 one"),
        (80, 688, 10, "Helvetica", "that goes on"),
        (72, 676, 10, "Helvetica", "\u2022 two"),
        (72, 640, 10, "Courier", "for x in y:"),
        (96, 628, 10, "Courier", "print(x)"),
        *paragraph(72, 600, WORDS * 3),
    ]
    body = " ".join(WORDS * 3)
    code = "```\nfor x in y:\n    print(x)\n```"
    assert text_of(pdf([page])) == f"- one that goes on\n- two\n\n{code}\n\n{body}"


def test_pages_are_offsets_and_paragraphs_go_on_over_them():
    pages = [
        paragraph(72, 700, ["A sentence begins"]),
        paragraph(72, 700, ["and ends on the next page."]),
        [],
        paragraph(72, 700, ["Last."]),
    ]
    extract = documents.extract("a.pdf", pdf(pages))
    assert extract.text == "A sentence begins and ends on the next page.\n\nLast."
    starts = [extract.text[at:][:5] for at in extract.metadata["pages"]]
    assert starts == ["A sen", "and e", "Last.", "Last."]


def test_running_heads_and_page_numbers_are_left_out():
    pages = [
        [
            (72, 760, 8, "Helvetica", f"Handbook, chapter {n}"),
            *paragraph(72, 700, [f"Text {'abcde'[n]} of the page.", "It has two lines."]),
            (300, 30, 8, "Helvetica", str(n)),
        ]
        for n in range(5)
    ]
    text = text_of(pdf(pages))
    assert "Handbook" not in text
    assert text.count("It has two lines.") == 5
    assert not any(digit in text for digit in "01234")


def test_what_stands_once_at_the_top_of_a_page_is_kept():
    topics = ["apples", "pears", "plums", "cherries"]
    pages = [paragraph(72, 760, [f"About {topic}", *WORDS]) for topic in topics]
    assert all(f"About {topic}" in text_of(pdf(pages)) for topic in topics)


def test_a_ruled_table_is_a_table():
    rows = [("Name", "Age"), ("Ada | Byron", "36"), ("Alan", "41")]
    texts = [
        (80 + 100 * column, 682 - 20 * row, 10, "Helvetica", cell)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
    ]
    across: list[Rule] = [(75, 695 - 20 * n, 200, 0.5) for n in range(4)]
    upright: list[Rule] = [(75 + 100 * n, 635, 0.5, 60) for n in range(3)]
    around = [(75, 740, 10, "Helvetica", "Before it"), (75, 600, 10, "Helvetica", "After it")]
    raw = pdf([[around[0], *texts, around[1]]], across + upright)
    table = "| Name | Age |\n| --- | --- |\n| Ada \\| Byron | 36 |\n| Alan | 41 |"
    assert text_of(raw) == f"Before it\n\n{table}\n\nAfter it"


def test_what_starts_like_a_block_of_markdown_is_escaped():
    assert text_of(pdf([paragraph(72, 700, ["# no heading"])])) == "\\# no heading"


def test_a_pdf_without_text_says_what_to_do():
    with pytest.raises(ExtractionError, match=r"'scan\.pdf'.*no text on its 2 pages.*OCR"):
        documents.extract("scan.pdf", pdf([[], []]))


@pytest.mark.parametrize("cut", [9, 100, 300])
def test_a_truncated_pdf_is_named(cut):
    raw = pdf([paragraph(72, 700, WORDS)])
    with pytest.raises(ExtractionError, match=r"'a\.pdf'.*broken|no text"):
        documents.extract("a.pdf", raw[:cut])


def test_an_encrypted_pdf_is_named():
    raw = pdf([paragraph(72, 700, WORDS)])
    key = b"<" + b"00" * 32 + b">"
    cipher = b"/Encrypt <</Filter/Standard/V 1/R 2/O %b/U %b/P -4>>/ID[<00><00>]" % (key, key)
    with pytest.raises(ExtractionError, match="encrypted"):
        documents.extract("a.pdf", raw.replace(b"/Root", cipher + b"/Root"))


def test_a_pdf_is_known_by_its_content():
    raw = pdf([paragraph(72, 700, WORDS)])
    assert documents.extract("download", raw).media_type == "application/pdf"
