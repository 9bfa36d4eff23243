import re

import pytest

from ingestion_assets.documents.html import read
from ingestion_assets_tests.documents.given import checked, pieces


def text_of(html: str) -> str:
    return read(html).text


def test_structure_becomes_markdown():
    html = (
        "<title>A &amp; B</title><h1>One</h1><p>Some <b>bold</b> <a href=x>link</a>,<br>broken.</p>"
        "<ul><li>a<ol><li>b<li>c</ol><li><p>d<p>e</ul>"
        '<pre><code class="language-py">if a &lt; b:\n\n    c\n</code></pre>'
        "<blockquote>said</blockquote>"
    )
    page = read(html)
    text, title = page.text, page.title
    assert title == "A & B"
    assert text == (
        "# One\n\nSome bold link,\nbroken.\n\n- a\n  1. b\n  2. c\n- d\n\n  e\n\n"
        "```py\nif a < b:\n\n    c\n```\n\n> said"
    )


def test_tables_become_pipe_tables():
    html = (
        "<table><caption>Cap</caption><tr><th>k<th>v|w<tr><td><p>1</p><p>one</p><td>- 2"
        "<tr><td>only</table>after"
    )
    text = text_of(html)
    assert text == ("Cap\n\n| k | v\\|w |\n| --- | --- |\n| 1 one | - 2 |\n| only |  |\n\nafter")
    assert [kind for kind, _ in pieces("text/html", text)] == ["paragraph", "table", "paragraph"]


@pytest.mark.parametrize(
    "cell", ["<h2>Head</h2>", "<pre>code</pre>", "<table><tr><td>a<td>b</table>", "word " * 300]
)
def test_tables_that_lay_out_a_page_are_written_as_paragraphs(cell):
    text = text_of(f"<table><tr><td>left<td>{cell}</table>")
    assert "| left |" not in text
    assert text.startswith("left\n\n")


def test_what_is_not_shown_is_dropped():
    html = (
        "<style>a{}</style><script>if (a<b) x('</p>')</script><nav>menu<ul><li>m</ul></nav>"
        "<template><p>t</p></template><p hidden>h</p><p style='color:red; Display : none'>d</p>"
        "<div role=navigation>n</div><h2>Kept<a class=headerlink href=#>¶</a></h2><!-- c -->"
    )
    assert text_of(html) == "## Kept"


def test_a_hidden_body_is_still_the_page():
    assert text_of("<body style='display:none'><p>words") == "words"


@pytest.mark.parametrize(
    "line", ["# a", "- b", "1. c", "+ d", "```", "> e", "<div>", "===", "---", "[a]: b"]
)
def test_text_that_looks_like_markdown_stays_text(line):
    escaped = line.replace("<", "&lt;").replace(">", "&gt;")
    text = text_of(f"<p>before<br>{escaped}</p><p>{escaped}</p>")
    assert {kind for kind, _ in pieces("text/html", text)} == {"paragraph"}
    assert text.count(line) == 2


def test_code_with_fences_in_it_stays_one_block():
    text = text_of("<pre>a\n```\nb\n````\nc</pre>")
    assert [kind for kind, _ in pieces("text/html", text)] == ["code"]


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 10_000 + "deep" + "</div>" * 10_000,
        "<ul><li>" * 10_000 + "deep",
        "<blockquote>" * 10_000 + "deep",
        "<table><tr><td>" * 5_000 + "deep",
        "<b><p><table><li></ul></td>deep</h1></pre><h2>",
        "<pre>" * 1000 + "deep",
        "<p>deep<p" + " a=b" * 100_000,
        "<td>deep</caption></table></tr>",
    ],
)
def test_depth_and_broken_markup_lose_no_text(html):
    text = text_of(html)
    assert "deep" in text
    checked("text/html", text)


@pytest.mark.parametrize("html", ["", " \n", "<!-- only -->", "<html></html>"])
def test_pages_without_text_are_empty(html):
    assert text_of(html) == ""


def test_a_large_page_keeps_every_word_in_order():
    words = [f"word{n}" for n in range(100_000)]
    html = "".join(f"<div><p>{word} <i>x</i></p>" for word in words)
    assert re.findall(r"word\d+", text_of(html)) == words


def test_a_very_long_text_is_kept():
    assert len(text_of("<p>" + "x" * 11_000_000)) == 11_000_000


@pytest.mark.parametrize("html", ["<blockquote>word", "<ul><li>", "<ul><li>word"])
def test_depth_does_not_blow_up_the_text(html):
    assert len(text_of(html * 2000 + "<p>end")) < 100_000 * html.count("word") + 100
