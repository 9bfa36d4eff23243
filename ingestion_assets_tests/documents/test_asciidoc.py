import pytest

from ingestion_assets import documents
from ingestion_assets_tests.documents.given import checked, pieces


def kinds(text: str) -> list[tuple[str, str]]:
    return pieces("text/asciidoc", text)


def test_sections_are_headings_with_plain_titles():
    text = (
        "= The _Book_\n:author: Ada\n:toc:\n\n[[id]]\n== Using `code`\n\nwords\n\nOld\n---\n\n"
        "=== See <<x,the other>>\n"
    )
    found = [(b.level, b.title) for b in checked("text/asciidoc", text) if b.level]
    assert found == [(1, "The Book"), (2, "Using code"), (2, "Old"), (3, "See the other")]
    extract = documents.extract("a.adoc", text.encode())
    assert (extract.title, extract.text) == ("The Book", text)
    assert extract.metadata == {"encoding": "utf-8", "author": "Ada"}


@pytest.mark.parametrize("delimiter", ["----", "....", "++++", "```", "//////"])
def test_what_stands_between_two_lines_is_kept_whole(delimiter):
    block = f"[source,python]\n.Listing\n{delimiter}\n== no title\n\n* no item\n{delimiter}"
    assert kinds(f"before\n\n{block}\nafter\n") == [
        ("paragraph", "before"),
        ("code", block),
        ("paragraph", "after"),
    ]


def test_tables_are_tables():
    table = '.Title\n[cols="1,1"]\n|===\n|a |b\n\n|c |d\n|==='
    assert kinds(table) == [("table", table)]


def test_blocks_in_a_box_are_blocks():
    text = "[NOTE]\n====\nOne.\n\n----\ncode\n----\n\n* item\n====\n\nAfter.\n"
    assert kinds(text) == [
        ("paragraph", "[NOTE]\n====\nOne."),
        ("code", "----\ncode\n----"),
        ("list", "* item\n===="),
        ("paragraph", "After."),
    ]


def test_items_hold_what_is_attached_to_them():
    text = (
        "* one\n** two\n+\n----\n* code\n----\n+\nmore\n* three\n\nWords.\n\n"
        "-a::\n--all::\n  Both.\n\nNOTE: a paragraph\n"
    )
    assert kinds(text) == [
        ("list", "* one\n** two\n+"),
        ("code", "----\n* code\n----"),
        ("list", "+\nmore"),
        ("list", "* three"),
        ("paragraph", "Words."),
        ("list", "-a::\n--all::\n  Both."),
        ("paragraph", "NOTE: a paragraph"),
    ]


def test_indented_paragraphs_are_literal():
    assert kinds("words\n\n  $ ls\n  a\n") == [("paragraph", "words"), ("code", "  $ ls\n  a")]


def test_a_delimiter_that_is_never_closed_is_a_line():
    assert kinds("a\n\n----\nb\n\n|===\n") == [
        ("paragraph", "a"),
        ("paragraph", "----\nb"),
        ("paragraph", "|==="),
    ]
