"""A polite guest: one request at a time, what robots.txt says, and no way into other networks."""

import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from ingestion_assets.errors import SourceError
from ingestion_assets.sources.web import client
from ingestion_assets.sources.web.client import Client
from ingestion_assets.sources.web.reach import is_inside
from ingestion_assets_tests.sources.web.website import Website

MOST = 1000


def get(asking: Client, url: str, start: str | None = None) -> int:
    return asking.get(url, start or url, MOST).status


def test_a_host_has_one_request_at_a_time_whoever_asks(site: Website) -> None:
    urls = [site.put(f"/{n}", seconds=0.05) for n in range(6)]

    def ask(url: str) -> int:
        with Client(0.0) as asking:
            return get(asking, url)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, urls)) == [200] * 6
    assert site.most_at_once == 1


def test_requests_keep_their_distance(site: Website) -> None:
    urls = [site.put(f"/{n}") for n in range(3)]
    with Client(0.1) as asking:
        for url in urls:
            get(asking, url)
    times = [asked.at for asked in site.asked]
    assert min(b - a for a, b in pairwise(times)) > 0.09


def test_robots_may_ask_for_a_longer_distance(site: Website) -> None:
    urls = [site.put(f"/{n}") for n in range(2)]
    site.put("/robots.txt", "User-agent: *\nCrawl-delay: 0.3\n")
    with Client(0.0) as asking:
        for url in urls:
            get(asking, url)
    times = [asked.at for asked in site.asked]
    assert times[2] - times[1] > 0.29


def test_robots_txt_is_obeyed_and_asked_for_once(site: Website) -> None:
    public, private = site.put("/a"), site.put("/private/a.pdf")
    site.put("/robots.txt", "User-agent: *\nDisallow: /*.pdf$\n")
    with Client(0.0) as asking:
        assert get(asking, public) == 200
        for _ in range(2):
            with pytest.raises(SourceError, match=r"robots\.txt of http://127.* forbids it"):
                get(asking, private)
    assert [asked.path for asked in site.asked] == ["/robots.txt", "/a"]


def test_robots_txt_is_obeyed_after_a_redirect(site: Website) -> None:
    url = site.put("/a", status=302, headers={"Location": "/private"})
    site.put("/robots.txt", "User-agent: ingestion-assets\nDisallow: /private\n")
    with Client(0.0) as asking, pytest.raises(SourceError, match="forbids it"):
        get(asking, url)


@pytest.mark.parametrize("status", [500, 429])
def test_a_host_whose_robots_txt_is_not_known_is_left_alone(site: Website, status: int) -> None:
    url = site.put("/a")
    site.put("/robots.txt", status=status)
    with Client(0.0) as asking, pytest.raises(SourceError, match=f"answers {status}"):
        get(asking, url)
    assert site.paths() == []


def test_the_host_is_told_who_asks(site: Website) -> None:
    with Client(0.0) as asking:
        get(asking, site.put("/a"))
    assert site.asked[-1].headers["User-Agent"].startswith("ingestion-assets/")


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_to_wait_is_waited_for(site: Website, status: int) -> None:
    url = site.put("/a", status=status, headers={"Retry-After": "1"})
    with Client(0.0) as asking:
        assert get(asking, url) == status
    times = [asked.at for asked in site.asked if asked.path == "/a"]
    assert len(times) == 2
    assert times[1] - times[0] >= 0.9


def test_a_host_that_asks_to_wait_for_long_is_asked_no_more(site: Website) -> None:
    url = site.put("/a", status=429, headers={"Retry-After": "3600"})
    with Client(0.0) as asking:
        for _ in range(2):
            with pytest.raises(SourceError, match=r"left alone for 3\d\d\d s"):
                get(asking, url)
    assert site.paths() == ["/a"]


def test_a_host_that_fails_again_and_again_is_asked_no_more(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.1)
    url = site.put("/a", seconds=0.5)
    with Client(0.0) as asking:
        for _ in range(7):
            with pytest.raises(SourceError):
                get(asking, url)
    assert site.paths() == ["/a"] * 5


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("no.such.host.invalid", False),
    ],
)
def test_private_addresses_are_told_from_public_ones(host: str, inside: bool) -> None:
    assert is_inside(host) is inside


def test_a_public_host_leads_nowhere_inside(site: Website) -> None:
    url = site.put("/a")
    with Client(0.0) as asking:
        with pytest.raises(SourceError, match=r"from the public host 8\.8\.8\.8 to 127\.0\.0\.1"):
            get(asking, url, start="http://8.8.8.8/sitemap.xml")
        assert get(asking, url, start="http://127.0.0.2/sitemap.xml") == 200
    assert site.paths() == ["/a"]


def test_a_redirect_of_a_public_host_leads_nowhere_inside(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is public when it is asked about, though the connection comes to the test's server.

    As DNS answers, so does the system; and a port is only given by who connects.
    """
    resolve = socket.getaddrinfo

    def resolved(host: str, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "public.example":
            return resolve(host, port, *rest, **more)
        return resolve("8.8.8.8" if port is None else "127.0.0.1", port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    site.put("/secret")
    site.put("/a", status=302, headers={"Location": f"{site.url}/secret"})
    port = site.url.rpartition(":")[2]
    with Client(0.0) as asking, pytest.raises(SourceError, match=r"to 127\.0\.0\.1, which is"):
        get(asking, f"http://public.example:{port}/a")
    assert site.paths() == ["/a"]
