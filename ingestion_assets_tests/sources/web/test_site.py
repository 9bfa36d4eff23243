"""Pages of a real web server are documents; what is unchanged is not sent, nothing is lost."""

import gzip
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ingestion_assets.errors import MassDeletionError, SourceError
from ingestion_assets.sources import Source
from ingestion_assets.sources.web import client
from ingestion_assets.sources.web.site import Site
from ingestion_assets_tests.sources.given import Store, counts
from ingestion_assets_tests.sources.web.website import Page, Website

MODIFIED = "Wed, 31 Jan 2024 12:00:00 GMT"


@pytest.fixture
def pages(site: Website) -> Source:
    """A source of four pages."""
    urls = tuple(site.put(f"/{n}", etag=f'"{n}"') for n in range(4))
    return Source("handbook", urls=urls, delay=0)


@pytest.fixture
def mapped(site: Website) -> Source:
    """A source of a sitemap with four pages."""
    paths = ["/", "/guide/a", "/guide/b/", "/blog/c"]
    for path in paths:
        site.put(path)
    return Source("handbook", sitemap=site.sitemap(*paths), delay=0)


def test_pages_are_documents(site: Website) -> None:
    said = {"Content-Type": "text/html; charset=iso-8859-1"}
    body = "<h1>Größe</h1>".encode("latin-1")
    site.pages["/guide"] = Page(body, headers=said, modified=MODIFIED)
    store = Store()
    store.run(Source("handbook", urls=(f"{site.url}/guide",), delay=0))
    (row,) = store.changes[0].rows
    assert (row.uri, row.title, row.media_type) == (f"{site.url}/guide", "Größe", "text/html")
    assert row.modified_at == datetime(2024, 1, 31, 12, tzinfo=UTC)
    assert row.metadata["validator"] == MODIFIED


@pytest.mark.parametrize("version", [{"etag": 'W/"1"'}, {"modified": MODIFIED}])
def test_an_unchanged_page_is_not_sent(site: Website, version: dict[str, str]) -> None:
    source = Source("handbook", urls=(site.put("/a", **version),), delay=0)
    store = Store()
    store.run(source)
    assert counts(store.run(source)) == {"seen": 1, "unchanged": 1}
    site.put("/a", "<h1>Others</h1>", etag='"2"')
    assert store.run(source).counts.changed == 1
    assert site.paths() == ["/a"] * 3


def test_another_version_of_the_same_content_is_noted(site: Website) -> None:
    source = Source("handbook", urls=(site.put("/a", etag='"1"'),), delay=0)
    store = Store()
    store.run(source)
    site.put("/a", etag='"2"')
    assert store.run(source).counts.touched == 1
    assert counts(store.run(source)) == {"seen": 1, "unchanged": 1}


def test_without_a_version_the_content_tells(site: Website) -> None:
    source = Source("handbook", urls=(site.put("/a"),), delay=0)
    store = Store()
    store.run(source)
    assert counts(store.run(source)) == {"seen": 1, "unchanged": 1, "bytes_read": 14}


def test_changed_settings_have_all_pages_sent_again(pages: Source, site: Website) -> None:
    store = Store()
    store.run(pages)
    assert store.run(replace(pages, domain="new")).counts.changed == 4
    assert store.run(replace(pages, domain="new"), reread=True).counts.touched == 4


def test_the_name_tells_more_than_plain_text_does(site: Website) -> None:
    address = site.put("/a.md", "# Title\n", headers={"Content-Type": "text/plain"})
    store = Store()
    store.run(Source("handbook", urls=(address,), delay=0))
    assert store.changes[0].rows[0].media_type == "text/markdown"


@pytest.mark.parametrize("status", [404, 410])
def test_a_page_that_is_gone_is_deleted(pages: Source, site: Website, status: int) -> None:
    store = Store()
    store.run(pages)
    site.put("/0", status=status)
    assert store.run(pages).counts.gone == 1
    assert len(store.known) == 3


@pytest.mark.parametrize("status", [500, 503, 403])
def test_a_page_that_fails_stays(pages: Source, site: Website, status: int) -> None:
    store = Store()
    store.run(pages)
    site.put("/0", status=status)
    run = store.run(pages)
    assert [f"answers {status}" in failure.message for failure in run.failures] == [True]
    assert len(store.known) == 4


def test_a_site_that_has_lost_its_pages_deletes_nothing(pages: Source, site: Website) -> None:
    store = Store()
    store.run(pages)
    site.pages.clear()
    with pytest.raises(MassDeletionError, match="4 documents of handbook/00 are listed, but gone"):
        store.run(pages)
    assert store.run(pages, allow_deletion=True).counts.gone == 4


def test_a_host_that_is_down_deletes_nothing_and_is_not_asked_for_ever(site: Website) -> None:
    urls = tuple(f"http://127.0.0.1:1/{n}" for n in range(9))
    run = Store().run(Source("handbook", urls=urls, delay=0))
    assert len(run.failures) == 9
    assert "robots.txt" in run.failures[0].message


def test_a_page_that_never_comes_costs_itself_alone(
    pages: Source, site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.2)
    site.pages["/1"].seconds = 1.0
    run = Store().run(pages)
    assert [(f.uri, "ReadTimeout" in f.message) for f in run.failures] == [(f"{site.url}/1", True)]
    assert run.counts.new == 3


def test_a_page_that_is_too_large_is_named(pages: Source, site: Website) -> None:
    site.put("/0", "x" * 99)
    run = Store().run(replace(pages, max_bytes=98))
    assert ["98 bytes" in failure.message for failure in run.failures] == [True]
    assert run.counts.new == 3


def test_a_redirect_is_followed_and_noted(site: Website) -> None:
    address = site.put("/old", status=301, headers={"Location": "/new"})
    site.put("/new")
    store = Store()
    store.run(Source("handbook", urls=(address,), delay=0))
    (row,) = store.changes[0].rows
    assert (row.uri, row.metadata["url"]) == (address, f"{site.url}/new")


@pytest.mark.parametrize(
    ("location", "what"),
    [("/loop", "redirects more than 5 times"), ("file:///etc/passwd", "no address of the web")],
)
def test_a_redirect_into_nowhere_is_named(site: Website, location: str, what: str) -> None:
    address = site.put("/loop", status=302, headers={"Location": location})
    run = Store().run(Source("handbook", urls=(address,), delay=0))
    assert [what in failure.message for failure in run.failures] == [True]


def test_the_pages_of_a_sitemap_are_documents(mapped: Source, site: Website) -> None:
    store = Store()
    assert store.run(mapped).counts.new == 4
    assert len([*Site(mapped).survey()]) == 4
    site.sitemap("/", "/guide/a", "/blog/c")
    assert store.run(mapped).counts.gone == 1


def test_paths_are_selected(mapped: Source, site: Website) -> None:
    store = Store()
    store.run(replace(mapped, include=("**/*",), exclude=("blog",)))
    assert sorted(store.known) == [f"{site.url}/{path}" for path in ("", "guide/a", "guide/b/")]
    store = Store()
    store.run(replace(mapped, include=("guide/**",)))
    assert sorted(store.known) == [f"{site.url}/guide/a", f"{site.url}/guide/b/"]


def test_partitions_ask_for_their_own_pages(mapped: Source, site: Website) -> None:
    mapped, store = replace(mapped, buckets=4), Store()
    runs = [store.run(mapped, key) for key in mapped.partition_keys()]
    assert sum(run.counts.new for run in runs) == 4
    assert len([path for path in site.paths() if path != "/sitemap.xml"]) == 4


def test_an_index_of_packed_sitemaps_is_read(mapped: Source, site: Website) -> None:
    site.sitemap("/guide/a", "/", at="/one.xml")
    site.sitemap("/guide/b/", "/", at="/two.xml")
    site.pages["/two.xml"].body = gzip.compress(site.pages["/two.xml"].body)
    site.sitemap("/one.xml", "/two.xml", "/sitemap.xml", kind="sitemap")
    assert Store().run(mapped).counts.new == 3


def test_what_an_unread_sitemap_lists_is_not_gone(mapped: Source, site: Website) -> None:
    store = Store()
    store.run(mapped)
    site.sitemap("/guide/a", at="/one.xml")
    site.put("/two.xml", status=500)
    site.sitemap("/one.xml", "/two.xml", kind="sitemap")
    run = store.run(mapped)
    assert (run.counts.gone, len(store.known)) == (0, 4)
    assert ["two.xml" in failure.message for failure in run.failures] == [True]


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        ("<html><body>Not here</body></html>", 200, "is no sitemap"),
        ("<urlset><url>", 200, "is no sitemap"),
        ("Not here", 200, "is no sitemap"),
        ("", 404, "answers 404"),
    ],
)
def test_what_is_no_sitemap_deletes_nothing(
    mapped: Source, site: Website, body: str, status: int, what: str
) -> None:
    store = Store()
    store.run(mapped)
    site.put("/sitemap.xml", body, status=status)
    with pytest.raises(SourceError, match=what):
        store.run(mapped, allow_deletion=True)
    assert len(store.known) == 4


def test_a_list_of_lines_is_a_sitemap_too(mapped: Source, site: Website) -> None:
    site.put("/sitemap.xml", f"{site.url}/guide/a\n{site.url}/\n")
    assert Store().run(mapped).counts.new == 2


def test_a_broken_address_in_a_sitemap_costs_itself_alone(mapped: Source, site: Website) -> None:
    site.sitemap("/", "http://[broken/a", "ftp://127.0.0.1/a")
    run = Store().run(mapped)
    assert run.counts.new == 1
    assert ["no address of the web" in f.message for f in run.failures] == [True, True]


def test_an_entity_of_a_sitemap_reads_no_file(mapped: Source, site: Website) -> None:
    site.put(
        "/sitemap.xml",
        '<!DOCTYPE urlset [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
        f"<urlset><url><loc>{site.url}/&e;</loc></url></urlset>",
    )
    Store().run(mapped)
    assert set(site.paths()) <= {"/sitemap.xml", "/"}
