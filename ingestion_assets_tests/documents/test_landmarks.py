import pytest

from ingestion_assets.documents.html import read


def text_of(html: str) -> str:
    return read(html).text


ARTICLE = "<h1>Knots</h1><p>A knot.</p><pre>tie()</pre><ul><li>bowline</ul>"
MARKDOWN = "# Knots\n\nA knot.\n\n```\ntie()\n```\n\n- bowline"


@pytest.mark.parametrize(
    "page",
    [
        "<div>Sign in</div><main>{}</main><div>More stories</div>",
        "<p>Sign in</p><div role=main><div>{}</div></div><p>More</p>",
        "<p>x</p><article>{}</article><p>y</p>",
        "<p>x</p><main><article>{}</article><ul><li>Knots</ul></main>",
        "<div class='navbar dark'>menu</div>{}<div id=footer>(c)</div>",
        "<table class=navheader><tr><td>Prev<td>Next</table>{}<footer>(c)</footer>",
        "<aside class=sidebar>s</aside>{}<div class='cookie-banner'><p>We use</div>",
        "<div role=contentinfo>c</div><form role=search>s</form>{}<button>Copy</button>",
    ],
)
def test_what_is_around_an_article_goes_and_all_of_the_article_stays(page):
    assert text_of(page.format(ARTICLE)) == MARKDOWN


def test_a_main_element_with_hardly_any_text_is_not_the_page():
    assert "A knot." in text_of(f"<main>Loading</main><div>{ARTICLE * 9}</div>")


def test_several_articles_are_all_content():
    assert text_of("<p>Blog</p><article>one</article><article>two</article>") == (
        "Blog\n\none\n\ntwo"
    )


def test_boxes_in_the_content_stay():
    html = f"<main>{ARTICLE}<aside class=sidebar><p>By the way</aside><footer>Ada</footer></main>"
    assert text_of(html) == f"{MARKDOWN}\n\nBy the way\n\nAda"


def test_tabs_that_are_not_open_stay():
    assert text_of("<div role=tabpanel>a</div><div role=tabpanel hidden>b</div>") == "a\n\nb"


def test_the_link_of_a_heading_to_itself_is_no_part_of_it():
    assert text_of("<h2>C# now<a href='#x'>#</a></h2><p>#") == "## C# now\n\n\\#"
