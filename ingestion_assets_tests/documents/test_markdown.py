import pytest

from ingestion_assets.documents.document import BlockKind
from ingestion_assets_tests.documents.given import checked, pieces

MARKDOWN = "text/markdown"


def headings(text: str, media_type: str = MARKDOWN) -> list[tuple[int, str]]:
    return [(b.level, b.title) for b in checked(media_type, text) if b.kind is BlockKind.HEADING]


def test_blocks_of_each_kind():
    text = (
        "# One\nwords\nmore\n\n- a\n- b\n\n  still b\n\n```py\n# no heading\n```\n\n"
        "| k | v |\n|---|---|\n| 1 | 2 |\n\n> quote\n> - in it\n\n    code\n\n<div>\nx\n</div>\n"
    )
    assert pieces(MARKDOWN, text) == [
        ("heading", "# One"),
        ("paragraph", "words\nmore"),
        ("list", "- a"),
        ("list", "- b\n\n  still b"),
        ("code", "```py\n# no heading\n```"),
        ("table", "| k | v |\n|---|---|\n| 1 | 2 |"),
        ("paragraph", "> quote\n> - in it"),
        ("code", "    code"),
        ("paragraph", "<div>\nx\n</div>"),
    ]


def test_code_in_a_list_item_is_its_own_block():
    text = "1. Run\n\n   ```sh\n   make\n   ```\n\n   and wait\n2. Done\n"
    assert pieces(MARKDOWN, text) == [
        ("list", "1. Run"),
        ("code", "   ```sh\n   make\n   ```"),
        ("list", "   and wait"),
        ("list", "2. Done"),
    ]


def test_heading_titles_are_plain_text():
    text = (
        "# The `run` *command* &amp; [links][l] \\#1 ![icon](x.png)\n\n"
        "Setext\nof two lines\n---\n\n"
        "###### Deep ######\n\n[l]: /url\n"
    )
    assert headings(text) == [
        (1, "The run command & links #1 icon"),
        (2, "Setext of two lines"),
        (6, "Deep"),
    ]


def test_rendered_headings_are_taken_literally():
    assert headings("# __init__ and *args\n", "text/html") == [(1, "__init__ and *args")]


def test_headings_inside_lists_and_quotes_are_no_sections():
    assert headings("- # a\n\n> # b\n") == []


def test_front_matter_is_in_no_block():
    text = "---\ntitle: T\n---\n\nwords\n"
    found = checked(MARKDOWN, text, start=text.index("\nwords"))
    assert text[found[0].start : found[0].end] == "words"


def test_front_matter_of_a_rendered_page_is_text():
    assert pieces("text/html", "---\na: b\n---\n")[0][1].startswith("---")


def test_reference_definitions_are_not_lost():
    assert ("paragraph", "[a]: http://a.example") in pieces(
        MARKDOWN, "[a]\n\n[a]: http://a.example\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "> " * 5000 + "x",
        "- " * 5000 + "x",
        "[" * 50_000,
        "# " + "*a_" * 50_000,
        "|a" * 20_000,
        "\n" * 9,
    ],
)
def test_hostile_text_is_covered(text):
    checked(MARKDOWN, text)


def test_carriage_returns_do_not_shift_lines():
    assert pieces(MARKDOWN, "one\rtwo\n\n# Head\n")[1] == ("heading", "# Head")
