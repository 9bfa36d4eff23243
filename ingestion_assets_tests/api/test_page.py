"""The search page in a real browser."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ingestion_assets_tests.api import chromium, given
from ingestion_assets_tests.api.chromium import Tab
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.services.faulty_ollama import Double, running

PICTURES = os.environ.get("PICTURES")  # a folder: for whoever wants to look at the page
WORDS = ["Krill", ", ", "as <b>said</b> in", " [1]", " and [99]."]
needs_browser = pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    with running(chat_words=WORDS) as double:
        yield double


@pytest.fixture(scope="module")
def site(postgres: str, template: str, double: Double) -> Iterator[str]:
    documents = {**given.DOCUMENTS, "hostile.md": [given.HOSTILE]}
    with fresh_database(postgres, template) as database:
        given.store(database, double.url, documents)
        with given.served(database, double.url, chat_model="llama3.2", answer_threshold=-1) as url:
            yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    with chromium.tab() as tab:
        yield tab


@pytest.fixture
def page(browser: Tab, site: str) -> Tab:
    browser.resize(1000, 800)
    browser.open(f"{site}/")
    browser.complaints.clear()
    return browser


def _search(page: Tab, text: str) -> None:
    page.value("document.getElementById('q').value = ''; document.getElementById('q').focus()")
    page.type(text)
    page.press("Enter")
    page.wait("document.querySelectorAll('.hit').length > 0")


def _picture(page: Tab, name: str) -> None:
    if PICTURES:
        page.picture(Path(PICTURES) / f"{name}.png")


def test_page_needs_nothing_from_elsewhere(site):
    for path in ("/", "/page.css", "/page.js"):
        answer = httpx.get(site + path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("https?://", "")
        assert "https://" not in answer.text.replace("https?://", "")
        assert "default-src 'none'" in answer.headers["content-security-policy"]


@needs_browser
def test_what_is_typed_is_found_and_highlighted(page):
    _search(page, "krill whales")
    _picture(page, "results")
    assert "whales.md" in page.value("document.querySelector('.hit').innerText")
    marked = page.value("[...document.querySelectorAll('mark')].map(m => m.textContent)")
    assert {"krill", "whales"} <= {word.lower() for word in marked}
    assert "score" in page.value("document.querySelector('.figures').textContent")
    assert page.value("location.search").startswith("?q=krill+whales")
    assert page.complaints == []


@needs_browser
def test_hostile_documents_stay_text(page):
    _search(page, "hostile words")
    assert given.HOSTILE in page.value("document.querySelector('.hit .text').textContent")
    assert page.value("document.querySelectorAll('#hits img, #hits script').length") == 0
    assert page.value("document.title") == "Search"
    assert page.complaints == []


@needs_browser
def test_links_lead_to_the_web_or_to_the_stored_text(page, site):
    _search(page, "star hydrogen retry failed request jitter whales")
    links = dict(
        page.value("[...document.querySelectorAll('.hit a')].map(a => [a.textContent, a.href])")
    )
    assert links["Https://Example.Org/Stars"] == "https://example.org/stars"
    stored = links["Javascript:Alert(1)"]
    assert stored.startswith(f"{site}/api/documents/")
    assert "exponential backoff" in httpx.get(stored).text
    rel = page.value("document.querySelector('.hit a').rel")
    assert rel == "noopener noreferrer"


@needs_browser
def test_keys_move_between_query_and_results(page):
    _search(page, "whales")
    page.press("ArrowDown")
    assert page.value("document.activeElement.id") == "hit-1"
    page.press("ArrowDown")
    assert page.value("document.activeElement.id") == "hit-2"
    page.press("ArrowUp")
    page.press("ArrowUp")
    assert page.value("document.activeElement.id") == "q"
    page.press("ArrowDown")
    page.press("/")
    assert page.value("document.activeElement.id") == "q"
    assert page.value("document.getElementById('q').value") == "whales"
    page.press("ArrowDown")
    page.press("Escape")
    assert page.value("document.activeElement.id") == "q"


@needs_browser
def test_enter_opens_the_document_of_a_result(page):
    _search(page, "whales")
    page.value(
        "window.opened = []; document.getElementById('hits').addEventListener('click',"
        " e => { e.preventDefault(); window.opened.push(e.target.href) })"
    )
    page.press("ArrowDown")
    page.press("Enter")
    assert page.value("window.opened") == [page.value("document.querySelector('.hit a').href")]


@needs_browser
def test_filters_narrow_the_search_and_survive_a_reload(page, site):
    page.open(f"{site}/?q=whales&uri_prefix=bread")
    page.wait("document.querySelectorAll('.hit').length === 2")
    _picture(page, "filters")
    places = page.value("[...document.querySelectorAll('.place')].map(p => p.textContent)")
    assert all("bread.md" in place for place in places)
    assert page.value("document.getElementById('chosen').textContent") == "(1)"
    page.value("document.getElementById('clear').click()")
    page.wait("document.querySelectorAll('.hit').length > 2")


@needs_browser
def test_answer_is_text_and_cites_what_exists(page, site):
    page.open(f"{site}/?q=what+do+whales+eat&answer=1")
    page.wait("document.querySelector('#answer .cite') !== null")
    _picture(page, "answer")
    said = page.value("document.getElementById('answer-text').textContent")
    assert said == "Krill, as <b>said</b> in [1] and ."
    assert page.value("document.querySelectorAll('#answer b').length") == 0
    page.value("document.querySelector('#answer .cite').click()")
    assert page.value("document.activeElement.id") == "hit-1"
    assert page.complaints == []


@needs_browser
def test_nothing_found_says_what_to_do(page, site):
    page.open(f"{site}/?q=whales&source=nobody")
    page.wait("document.getElementById('status').textContent.startsWith('Nothing found')")
    _picture(page, "empty")


@needs_browser
def test_missing_embeddings_are_said(page, site, double):
    double.break_by({"fault": "F14"})
    _search(page, "whales krill animals")
    _picture(page, "degraded")
    notice = page.value("document.getElementById('notice').textContent")
    double.break_by()
    assert notice.startswith("Incomplete:")
    assert not page.value("document.getElementById('notice').hidden")


@needs_browser
def test_refusal_is_shown(page, site):
    page.open(f"{site}/?q=whales&k=5&method=vector&modified_after=2000-01-01")
    page.wait("document.querySelectorAll('.hit').length > 0")
    page.value("document.querySelector('[name=k]').options[0].value = '5000'")
    page.value("document.getElementById('form').requestSubmit()")
    page.wait("!document.getElementById('notice').hidden")
    _picture(page, "refused")
    assert "k: " in page.value("document.getElementById('notice').textContent")


@needs_browser
def test_narrow_and_dark_screens_are_served(page, site):
    page.resize(400, 800)
    page.darken()
    page.open(f"{site}/?q=whales+bread+star")
    page.wait("document.querySelectorAll('.hit').length > 0")
    _picture(page, "narrow")
    assert page.value("document.documentElement.scrollWidth") <= 400
    paper = page.value("getComputedStyle(document.body).backgroundColor")
    assert max(json.loads(f"[{paper[4:-1]}]")) < 64
