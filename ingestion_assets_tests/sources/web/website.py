"""A real web server on loopback, whose pages a test writes, and which notes who asks."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass
class Page:
    """What the server answers; with a tag or a time, 304 to who has that version."""

    body: bytes = b"<h1>Words</h1>"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str | None = None
    modified: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Asked:
    path: str
    headers: Mapping[str, str]
    at: float


class Website:
    """Pages by path, and what was asked.

    Attributes:
        most_at_once: requests that were ever under way together.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self.url = ""
        self._lock = Lock()
        self._now = 0

    def put(self, path: str, body: str = "<h1>Words</h1>", **how: Any) -> str:
        """Put a page there; its address."""
        self.pages[path] = Page(body.encode(), **how)
        return f"{self.url}{path}"

    def sitemap(self, *paths: str, at: str = "/sitemap.xml", kind: str = "url") -> str:
        """Put a sitemap there, of pages or of other sitemaps; its address."""
        root = "urlset" if kind == "url" else "sitemapindex"
        addresses = [path if "://" in path else self.url + path for path in paths]
        entries = "".join(f"<{kind}><loc>{address}</loc></{kind}>" for address in addresses)
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        return self.put(at, f'<{root} xmlns="{space}">{entries}</{root}>')

    def paths(self) -> list[str]:
        """The paths that were asked for, but for robots.txt; then forgotten."""
        paths = [asked.path for asked in self.asked if asked.path != "/robots.txt"]
        self.asked.clear()
        return paths

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.asked.append(Asked(handler.path, dict(handler.headers), time.monotonic()))
        try:
            page = self.pages.get(handler.path, Page(b"nothing", 404))
            time.sleep(page.seconds)
        finally:
            with self._lock:
                self._now -= 1
        _send(handler, page)  # once it is sent, the next one may come


def _send(handler: BaseHTTPRequestHandler, page: Page) -> None:
    said = {"ETag": page.etag, "Last-Modified": page.modified}
    headers = {**{k: v for k, v in said.items() if v}, **page.headers}
    has = (handler.headers["If-None-Match"], handler.headers["If-Modified-Since"])
    current = page.status == 200 and bool({*has} & {page.etag, page.modified} - {None})
    handler.send_response(304 if current else page.status)
    for name, value in headers.items():
        handler.send_header(name, value)
    if not current:
        handler.send_header("Content-Length", str(len(page.body)))
    handler.end_headers()
    if not current:
        handler.wfile.write(page.body)


@contextmanager
def website() -> Iterator[Website]:
    site = Website()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # of a client that gave up
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield site
        server.shutdown()
        thread.join()
