"""A list of addresses or a sitemap in, its pages as documents out."""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import ClassVar
from urllib.parse import urlsplit

from ingestion_assets.documents import media
from ingestion_assets.errors import SourceError
from ingestion_assets.sources import globs
from ingestion_assets.sources.origin import Absent, Found, Read, Unchanged, ending
from ingestion_assets.sources.record import Record, uri_problem
from ingestion_assets.sources.source import Source
from ingestion_assets.sources.web import sitemap
from ingestion_assets.sources.web.client import Answer, Client

_HOUR = 3600.0
_GONE = (404, 410)
_SAID = {"text/html": media.HTML, "application/xhtml+xml": media.HTML, **{m: m for m in media.READ}}


class Site:
    """The origin that is pages of the web: those that are listed, or those of a sitemap.

    Only asking tells whether a page has changed: with the validator of the stored version, so that
    an unchanged one is not sent.
    """

    every: ClassVar[float | None] = _HOUR
    sized: ClassVar[bool] = False

    def __init__(self, source: Source) -> None:
        self._source = source
        self._there: Counter[str] = Counter()  # in all partitions, by ending

    @property
    def name(self) -> str:
        if self._source.sitemap:
            return self._source.sitemap
        first, *others = self._source.urls or ("",)
        return f"{first} and {len(others)} more" if others else first

    def survey(self) -> Iterator[Found | SourceError]:
        pages = self._mapped() if self._source.sitemap else dict.fromkeys(self._source.urls or ())
        for number, page in enumerate(pages, 1):
            if isinstance(page, SourceError):
                yield page
            elif problem := uri_problem(page):
                yield SourceError(f"page {number}", f"{page!r:.80} {problem}")
            else:
                yield Found(page)

    def watched(self) -> None:
        return None

    def listed(self, partition_key: str) -> Iterator[Found | SourceError]:
        for found in self.survey():
            if not found.uri or self._source.partition_key(found.uri) == partition_key:
                yield found
            self._there[ending(found.uri)] += 1

    def read(self, wanted: Iterable[Found | Record]) -> Iterator[Read]:
        with Client(self._source.delay) as client:
            for found in wanted:
                if isinstance(found, Found):
                    yield self._page(client, found)

    def opened(self, uri: str) -> None:
        return None

    def present(self) -> Counter[str]:
        return self._there

    def is_empty(self) -> bool:
        return not self._there

    def _mapped(self) -> Iterator[str | SourceError]:
        """The selected pages of the sitemap."""
        start = self._source.sitemap or ""
        selection = globs.select(self._source.include, self._source.exclude)
        with Client(self._source.delay) as client:
            for page in sitemap.pages(lambda url: _sitemap(client, url, start), start):
                if isinstance(page, SourceError) or _is_selected(selection, page):
                    yield page

    def _page(self, client: Client, found: Found) -> Read:
        url = found.uri
        start = self._source.sitemap or url
        try:
            answer = client.get(url, start, self._source.max_bytes, found.validator)
        except SourceError as exc:
            return exc
        if answer.status == 304 and found.validator:
            return Unchanged(url)
        if answer.status in _GONE:
            return Absent(url)
        if answer.status != 200:
            return SourceError(url, f"the host answers {answer.status}; what is stored stays")
        return _record(url, answer)


def _sitemap(client: Client, url: str, start: str) -> bytes:
    answer = client.get(url, start, sitemap.MOST_BYTES)
    if answer.status != 200:
        raise SourceError(url, f"the host answers {answer.status}, and no sitemap")
    return answer.content


def _is_selected(selection: globs.Selection, page: str) -> bool:
    """Whether the path of a page is selected; that of the front page is `index`."""
    try:
        return selection.reaches(urlsplit(page).path.strip("/") or "index")
    except ValueError:
        return True  # asking for it names what is wrong with it


def _record(url: str, answer: Answer) -> Record:
    said, _, parameters = answer.headers.get("content-type", "").partition(";")
    media_type = _SAID.get(said.strip().lower())
    provenance = {"validator": answer.validator, "url": answer.url if answer.url != url else None}
    return Record(
        url,
        _decoded(answer.content, parameters),
        None if media_type == media.PLAIN else media_type,  # its name may say more
        modified_at=answer.modified_at,
        provenance={key: value for key, value in provenance.items() if value},
    )


def _decoded(content: bytes, parameters: str) -> str | bytes:
    """Text in the charset that the host names; bytes if it names none, or not that of the text."""
    charset = parameters.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        return content.decode(codecs.lookup(charset).name) if charset else content
    except (LookupError, ValueError):
        return content
