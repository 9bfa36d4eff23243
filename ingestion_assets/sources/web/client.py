"""An address in, its answer out: slowly, as robots.txt permits, and never into other networks."""

import ssl
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx
from protego import Protego

from ingestion_assets.errors import SourceError
from ingestion_assets.sources.web.reach import is_inside
from ingestion_assets.sources.web.turns import Turns

NAME = "ingestion-assets"  # what robots.txt calls us
SILENCE = 30.0  # seconds without a byte before a request is given up
PATIENCE = 60.0  # seconds that we wait if a host asks us to

_LONGEST = 600.0  # seconds for a page
_REDIRECTS = 5
_FAILURES = 5  # in a row, after which a host is asked no more
_ROBOTS_BYTES = 512_000
_MOVED = (301, 302, 303, 307, 308)
_WAIT = (429, 503)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered.

    Attributes:
        url: where the answer is from, after redirects.
        content: the body of a 200; empty for any other status.
    """

    url: str
    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def modified_at(self) -> datetime | None:
        """When the host says the page was changed."""
        return _date(self.headers.get("last-modified", ""))

    @property
    def validator(self) -> str | None:
        """The ETag, which has its quotes, or the time of the last change."""
        tag: str | None = self.headers.get("etag") or self.headers.get("last-modified")
        return tag


class _RefusedError(Exception):
    """Why there is no answer."""


class Client:
    """Asks hosts one page at a time.

    Args:
        delay: seconds between two requests to a host at least; robots.txt may ask for more.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._http = httpx.Client(
            headers={"User-Agent": f"{NAME}/{version(NAME)}"},
            timeout=httpx.Timeout(SILENCE),
            verify=_certificates(),
        )
        self._turns: dict[str, Turns] = {}
        self._robots: dict[str, Protego | _RefusedError] = {}
        self._inside: dict[str, bool] = {}
        self._failures: Counter[str] = Counter()  # in a row, by host
        self._closed_until: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        for turns in self._turns.values():
            turns.close()

    def get(self, url: str, start: str, most: int, validator: str | None = None) -> Answer:
        """What is at an address.

        Args:
            start: the address in sources.yaml that led here. If that is of the public internet,
                this and all redirects must be so too.
            most: bytes of content at most.
            validator: of the version that need not be sent again.

        Raises:
            SourceError: no answer, one that is too large, or none that may be asked for.
        """
        try:
            at = url
            for _ in range(_REDIRECTS + 1):
                self._check_reach(at, start)
                self._check_robots(at, start)
                answer = self._ask(at, most, validator)
                if answer.status not in _MOVED or "location" not in answer.headers:
                    return answer
                at = urljoin(at, answer.headers["location"])
            raise _RefusedError(f"redirects more than {_REDIRECTS} times")
        except _RefusedError as exc:
            raise SourceError(url, str(exc)) from exc
        except ValueError as exc:  # of an address that cannot be taken apart
            raise SourceError(url, f"leads to no address of the web ({exc})") from exc

    def _check_reach(self, url: str, start: str) -> None:
        parts, first = urlsplit(url), urlsplit(start)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise _RefusedError(f"leads to {url!r:.200}, which is no address of the web")
        if (
            parts.hostname != first.hostname
            and self._is_inside(parts.hostname)
            and not self._is_inside(first.hostname or "")
        ):
            raise _RefusedError(
                f"leads from the public host {first.hostname} to {parts.hostname}, which is"
                " private; list that address itself if it is meant"
            )

    def _is_inside(self, host: str) -> bool:
        if host not in self._inside:
            self._inside[host] = is_inside(host)
        return self._inside[host]

    def _check_robots(self, url: str, start: str) -> None:
        if not self._robots_of(url, start).can_fetch(url, NAME):
            raise _RefusedError(f"robots.txt of {_host(url)} forbids it; leave it out")

    def _robots_of(self, url: str, start: str) -> Protego:
        host = _host(url)
        if host not in self._robots:
            try:
                self._robots[host] = self._read_robots(urljoin(url, "/robots.txt"), start)
            except _RefusedError as exc:
                self._robots[host] = exc
        found = self._robots[host]
        if isinstance(found, _RefusedError):
            raise _RefusedError(f"robots.txt of {host} cannot be read: {found}")
        return found

    def _read_robots(self, at: str, start: str) -> Protego:
        """What a host permits: everything, if it has no robots.txt (RFC 9309)."""
        for _ in range(_REDIRECTS + 1):
            self._check_reach(at, start)
            answer = self._ask(at, _ROBOTS_BYTES, None)
            if answer.status not in _MOVED or "location" not in answer.headers:
                break
            at = urljoin(at, answer.headers["location"])
        if answer.status >= 500 or answer.status == 429:
            raise _RefusedError(f"answers {answer.status}")
        return Protego.parse(answer.content.decode(errors="replace"))

    def _ask(self, url: str, most: int, validator: str | None) -> Answer:
        """The answer of one address; the second one, if the host names a time to wait."""
        host = _host(url)
        for _ in range(2):
            self._wait(host)
            answer = self._have_turn(host, url, most, validator)
            seconds = _retry_after(answer.headers) if answer.status in _WAIT else None
            if seconds is None:
                break
            self._closed_until[host] = time.monotonic() + seconds
        return answer

    def _wait(self, host: str) -> None:
        if self._failures[host] >= _FAILURES:
            raise _RefusedError(
                f"{host} failed {_FAILURES} times in a row; asked no more this time"
            )
        left = self._closed_until.get(host, 0.0) - time.monotonic()
        if left > PATIENCE:
            raise _RefusedError(f"{host} asks to be left alone for {left:.0f} s")
        time.sleep(max(left, 0.0))

    def _have_turn(self, host: str, url: str, most: int, validator: str | None) -> Answer:
        if host not in self._turns:
            self._turns[host] = Turns(host)
        robots = self._robots.get(host)
        asked = robots.crawl_delay(NAME) if isinstance(robots, Protego) else None
        with self._turns[host].turn(max(self._delay, asked or 0.0)):
            try:
                answer = self._send(url, most, validator)
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:
                self._failures[host] += 1
                raise _RefusedError(f"cannot be read ({type(exc).__name__}: {exc})") from exc
        self._failures[host] = 0
        return answer

    def _send(self, url: str, most: int, validator: str | None) -> Answer:
        with self._http.stream("GET", url, headers=_conditions(validator)) as response:
            content = _body(response, most) if response.status_code == 200 else b""
            return Answer(url, response.status_code, response.headers, content)


@cache
def _certificates() -> ssl.SSLContext:
    """Those of well-known authorities, which take a tenth of a second to load."""
    return httpx.create_ssl_context()


def _body(response: httpx.Response, most: int) -> bytes:
    content, until = bytearray(), time.monotonic() + _LONGEST
    for part in response.iter_bytes():
        content += part
        if len(content) > most:
            raise _RefusedError(
                f"has more than the {most} bytes of `max_bytes`; raise that in sources.yaml or"
                " leave it out"
            )
        if time.monotonic() > until:
            raise _RefusedError(f"is not there after {_LONGEST:.0f} s")
    return bytes(content)


def _conditions(validator: str | None) -> dict[str, str]:
    if validator is None:
        return {}
    is_tag = validator.startswith(('"', 'W/"'))
    return {"If-None-Match" if is_tag else "If-Modified-Since": validator}


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that a host asks to wait."""
    said = headers.get("retry-after", "").strip()
    if said.isdecimal():
        return float(said)
    at = _date(said)
    return None if at is None else max((at - datetime.now(UTC)).total_seconds(), 0.0)


def _date(said: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _host(url: str) -> str:
    """Scheme, name and port, as robots.txt counts them."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"
