"""Blocks of every usual shape give the text that a reader sees."""

import json
from typing import Any

import pytest

from ingestion_assets.documents.structured import (
    block_text,
    heading_level,
    is_heading,
    plain_text,
)


def words(*texts: str) -> list[dict[str, Any]]:
    """ProseMirror's inline nodes."""
    return [{"type": "text", "text": text} for text in texts]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("  plain  ", "plain"),
        ({"text": "of Editor.js, <b>bold</b> &amp; <a href='x'>a link</a><br>below"},
         "of Editor.js, bold & a link\nbelow"),
        ({"type": "paragraph", "data": {"text": "wrapped"}}, "wrapped"),
        ({"type": "paragraph", "content": words("of Prose", "Mirror")}, "of ProseMirror"),
        ([{"type": "paragraph", "content": words("a")},
          {"type": "paragraph", "content": words("b")}], "a\nb"),
        ({"content": [*words("a"), {"type": "hardBreak"}, *words("b")]}, "a\nb"),
        ({"rich_text": [{"plain_text": "of "}, {"plain_text": "Notion"}]}, "of Notion"),
        ('{"text": "JSON in a text column"}', "JSON in a text column"),
        ("[1] is a footnote", "[1] is a footnote"),
        ('{"an": "example of JSON"}', '{"an": "example of JSON"}'),
        ("", ""), (None, ""), ({}, ""), ([], ""), ("{}", ""), ("[]", ""), (True, ""),
        ({"text": None}, ""), ({"url": "x.mp4"}, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["paragraph", "a kind nobody knows", ""])
def test_a_paragraph_and_an_unknown_kind_are_their_text(kind, content, text):
    assert block_text(kind, content) == text


@pytest.mark.parametrize("kind", ["list", "bulletList", "numbered_list", "to_do", "checklist"])
@pytest.mark.parametrize(
    "content",
    [
        {"items": ["a", {"text": "b", "items": ["c"]}]},
        {"style": "ordered", "items": [{"content": "a"}, {"content": "b", "items": [
            {"content": "c", "items": []}]}]},
        [{"text": "a"}, {"text": "b", "children": [{"text": "c"}]}],
        ["a", "b", ["c"]],
        {"type": "bulletList", "content": [
            {"type": "listItem", "content": [{"type": "paragraph", "content": words("a")}]},
            {"type": "listItem", "content": [
                {"type": "paragraph", "content": words("b")},
                {"type": "bulletList", "content": [
                    {"type": "listItem", "content": [
                        {"type": "paragraph", "content": words("c")}]}]}]}]},
        "- a\n- b\n  - c",
    ],
)  # fmt: skip
def test_a_list_keeps_its_nesting(kind, content):
    assert block_text(kind, content) == "- a\n- b\n  - c"


def test_a_list_without_items_is_empty():
    assert block_text("list", {"items": [""]}) == block_text("list", {}) == ""


@pytest.mark.parametrize(
    "content",
    [
        {"header": ["Name", "Born"], "rows": [["Ada", 1815], ["Alan", 1912]]},
        {"columns": [{"name": "Name"}, {"name": "Born"}], "rows": [["Ada", 1815], ["Alan", 1912]]},
        {"rows": [["Name", "Born"], ["Ada", 1815], ["Alan", 1912]]},
        {"rows": [{"Name": "Ada", "Born": 1815}, {"Name": "Alan", "Born": 1912}]},
        {"withHeadings": True, "content": [["Name", "Born"], ["Ada", "1815"], ["Alan", "1912"]]},
        [["Name", "Born"], ["Ada", 1815], ["Alan", 1912]],
        {"type": "table", "content": [
            {"type": "tableRow", "content": [
                {"type": "tableCell", "content": [{"type": "paragraph", "content": words(cell)}]}
                for cell in row]}
            for row in (["Name", "Born"], ["Ada", "1815"], ["Alan", "1912"])]},
        "| Name | Born |\n|------|-----:|\n| Ada | 1815 |\n| Alan | 1912 |",
    ],
)  # fmt: skip
def test_a_table_repeats_its_header_in_every_row(content):
    assert block_text("table", content) == "Name: Ada; Born: 1815\nName: Alan; Born: 1912"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"withHeadings": False, "content": [["a", "b"], ["c", "d"]]}, "a; b\nc; d"),
        ({"header": ["Name"], "rows": [["Ada", "extra"], ["", ""]]}, "Name: Ada; extra"),
        ({"header": ["Name", "Born"], "rows": []}, "Name; Born"),
        ({"rows": [["only"]]}, "only"),
        ({"rows": []}, ""),
        ("no table", "no table"),
    ],
)
def test_tables_without_header_or_rows_keep_what_there_is(content, text):
    assert block_text("table", content) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"code": "a = 1\n", "language": "Python"}, "```python\na = 1\n```"),
        ({"text": "a", "attrs": {"language": "c"}}, "```c\na\n```"),
        ({"type": "codeBlock", "attrs": {"language": "c"}, "content": words("a", "b")},
         "```c\nab\n```"),
        ("    indented\nb", "```\n    indented\nb\n```"),
        ("```sql\nSELECT 1\n```", "```sql\nSELECT 1\n```"),
        ('{"port": 80}', '```\n{"port": 80}\n```'),
        ('{"code": "x", "language": "go"}', "```go\nx\n```"),
        ({"code": " "}, ""), ("", ""), (None, ""), ('{"code": ""}', ""),
    ],
)  # fmt: skip
def test_code_is_fenced_with_its_language(content, text):
    assert block_text("code", content) == text


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("mermaid", {"code": "graph TD"}),
        ("Mermaid_diagram", "graph TD"),
        ("code", {"code": "graph TD", "language": "mermaid"}),
        ("code", "```mermaid\ngraph TD\n```"),
        ("divider", {"text": "---"}),
        ("delimiter", {}),
    ],
)
def test_diagrams_and_dividers_have_no_text(kind, content):
    assert block_text(kind, content) == ""


def test_a_heading_stands_within_its_context():
    context = ["Handbook", "", "Install"]
    assert block_text("heading_2", {"text": "Linux"}, context) == "Handbook > Install > Linux"
    assert block_text("h2", "## Linux", context) == "Handbook > Install > Linux"
    assert block_text("heading", {"text": " "}, context) == ""
    assert block_text("paragraph", "Linux", context) == "Linux"


@pytest.mark.parametrize("kind", ["heading", "Header", "heading_2", "heading-3", "h6", "subheader"])
def test_these_are_headings(kind):
    assert is_heading(kind)


@pytest.mark.parametrize("kind", ["h7", "headline", "paragraph", "table_header", "title", ""])
def test_these_are_none(kind):
    assert not is_heading(kind)


@pytest.mark.parametrize(
    ("kind", "content", "column", "level"),
    [
        ("heading", {"level": 3}, 2, 2),
        ("heading", {"attrs": {"level": 3}}, None, 3),
        ("heading_2", {"text": "x"}, None, 2),
        ("heading", "### x", None, 3),
        ("heading", "x", None, 1),
        ("heading", {"level": "4"}, None, 4),
        ("heading", {"level": 9}, None, 6),
        ("heading", {"level": "deep"}, None, 1),
    ],
)
def test_a_headings_level_is_where_it_is_said_first(kind, content, column, level):
    assert heading_level(kind, content, column) == level


@pytest.mark.parametrize("kind", ["paragraph", "list", "heading", "table", "code", "mermaid", "x"])
@pytest.mark.parametrize(
    "content",
    [0, 1.5, True, "", [], {}, [[]], [None], {"items": None}, {"items": [None, [], {}]},
     {"rows": [None, {}, [], "x", 3]}, {"header": [None], "rows": [[[]]]}, {"rows": "x"},
     {"content": {"content": {"content": []}}}, {"code": {}}, {"code": [1]}, {"language": 7},
     {"data": [1]}, {"attrs": None}, [[[["deep"]]]]],
)  # fmt: skip
def test_no_shape_of_json_is_an_error(kind, content):
    for given in (content, json.dumps(content)):
        assert isinstance(block_text(kind, given), str)
        assert isinstance(plain_text(given), str)
        assert 1 <= heading_level(kind, given) <= 6


@pytest.mark.parametrize("kind", ["paragraph", "list", "heading", "table", "code", "x"])
@pytest.mark.parametrize("depth", [200, 2000])
def test_what_is_nested_without_end_has_no_text(kind, depth):
    for opened, closed in (("[", "]"), ('{"items": ', "}"), ('{"content": [', "]}")):
        given = opened * depth + '"x"' + closed * depth
        assert "x" not in block_text(kind, given) or given in block_text(kind, given)
