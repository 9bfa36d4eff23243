import pytest

from ingestion_assets.documents.document import BlockKind
from ingestion_assets_tests.documents.given import checked, pieces

RST = "text/x-rst"


def headings(text: str) -> list[tuple[int, str]]:
    return [(b.level, b.title) for b in checked(RST, text) if b.kind is BlockKind.HEADING]


def test_levels_follow_the_order_of_styles():
    text = "=====\nTitle\n=====\n\nOne\n===\n\ntext\n\nSub\n---\n\nTwo\n===\n\n====\n Doc\n====\n"
    assert headings(text) == [(1, "Title"), (2, "One"), (3, "Sub"), (2, "Two"), (1, "Doc")]


def test_titles_lose_their_markup():
    text = "The ``x`` of :ref:`y <z>` and *w*, :class:`~a.b`, |v|, `u`_\n" + "=" * 70 + "\n"
    assert headings(text) == [(1, "The x of y and w, a.b, v, u")]


def test_short_underlines_and_transitions_are_no_titles():
    assert (
        headings("a long title\n==\n\nwords\n\n----\n\nwords\n\n    indented\n    ========\n") == []
    )


def test_literal_block_ends_where_indentation_does():
    text = "Run this::\n\n  a\n\n    b\n\nand go on\n"
    assert pieces(RST, text) == [
        ("paragraph", "Run this::"),
        ("code", "  a\n\n    b"),
        ("paragraph", "and go on"),
    ]


def test_code_directives_are_code_and_others_are_text():
    code = ".. code-block:: python\n   :linenos:\n\n   x = 1"
    text = f"{code}\n\n.. note::\n   Take *care*.\n\n   - item\n"
    assert pieces(RST, text) == [
        ("code", code),
        ("paragraph", ".. note::\n   Take *care*."),
        ("list", "   - item"),
    ]


def test_literal_block_inside_a_directive_is_code():
    text = ".. note:: Like this::\n\n      x\n\n   and so on\n"
    assert [kind for kind, _ in pieces(RST, text)] == ["paragraph", "code", "paragraph"]


def test_tables_of_all_kinds():
    grid = "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+"
    simple = "===  ===\nA    B\n===  ===\n1    2\n\n3    4\n===  ==="
    listed = ".. list-table::\n   :header-rows: 1\n\n   * - a\n     - b"
    assert pieces(RST, f"{grid}\n\n{simple}\n\n{listed}\n\nend\n") == [
        ("table", grid),
        ("table", simple),
        ("table", listed),
        ("paragraph", "end"),
    ]


def test_list_items_are_blocks_with_their_code_apart():
    text = "- one\n- two::\n\n    code\n\n  more of two\n\n#. three\n\nA. Einstein was\na man.\n"
    assert pieces(RST, text) == [
        ("list", "- one"),
        ("list", "- two::"),
        ("code", "    code"),
        ("list", "  more of two"),
        ("list", "#. three"),
        ("paragraph", "A. Einstein was\na man."),
    ]


def test_sessions_are_code():
    assert pieces(RST, ">>> 1 + 1\n2\n\nwords\n")[0] == ("code", ">>> 1 + 1\n2")


def test_comments_and_targets_are_not_lost():
    text = ".. _target:\n\n.. a comment\n   of two lines\n\n.. |x| image:: y.png\n"
    assert [kind for kind, _ in pieces(RST, text)] == ["paragraph"] * 3


@pytest.mark.parametrize(
    "text",
    ["- x\n" * 50_000, "== ==\n" * 5000, "x\n====\n" * 5000, "`" * 50_000 + "\n====\n", "::\n\n"],
)
def test_hostile_text_is_covered(text):
    checked(RST, text)


def test_a_simple_table_ends_at_its_last_border():
    table = "==  ==\nA   B\n==  ==\n1   2\n==  =="
    assert pieces(RST, f"{table}\nwords\n") == [("table", table), ("paragraph", "words")]
