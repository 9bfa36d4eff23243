"""The address of a sitemap in, the addresses of its pages out."""

import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

from lxml import etree

from ingestion_assets.errors import SourceError

MOST_BYTES = 52_428_800  # of a sitemap, unpacked; what the protocol permits
_MOST_SITEMAPS, _MOST_PAGES, _DEEPEST = 1000, 100_000, 3

_GZIP = b"\x1f\x8b"


def pages(read: Callable[[str], bytes], url: str) -> Iterator[str | SourceError]:
    """The pages of a sitemap and of those that it lists, each once.

    One of these that cannot be read is an error with an empty uri: nobody knows what it lists.

    Args:
        read: gives what is at an address, packed or not; raises SourceError.

    Raises:
        SourceError: the first one cannot be read, or there is more than anybody can mean.
    """
    pending, listed, found = [(url, 0)], {url}, set[str]()
    while pending:
        at, depth = pending.pop()
        try:
            entries = _entries(at, read(at))
        except SourceError as exc:
            if at == url:
                raise
            yield SourceError("", f"what this sitemap lists is not known: {exc}")
            continue
        for kind, address in entries:
            if kind == "sitemap" and address not in listed and depth < _DEEPEST:
                listed.add(address)
                pending.append((address, depth + 1))
            elif kind == "url" and address not in found:
                found.add(address)
                yield address
            if len(found) > _MOST_PAGES or len(listed) > _MOST_SITEMAPS:
                raise SourceError(
                    url,
                    f"lists more than {_MOST_PAGES} pages or {_MOST_SITEMAPS} sitemaps;"
                    " name smaller ones, each in a source of its own",
                )


def _entries(url: str, raw: bytes) -> list[tuple[str, str]]:
    """What a sitemap lists: `url` or `sitemap`, and an address."""
    content = _unpacked(url, raw)
    if not content.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        lines = content.decode(errors="replace").split()
        if not all(line.startswith(("http://", "https://")) for line in lines):
            raise SourceError(url, "is no sitemap: neither XML nor a list of addresses")
        return [("url", line) for line in lines]
    try:
        return list(_parsed(url, content))
    except etree.LxmlError as exc:
        raise SourceError(url, f"is no sitemap ({exc})") from exc


def _parsed(url: str, content: bytes) -> Iterator[tuple[str, str]]:
    """Entries, while the tree is thrown away behind them."""
    events = etree.iterparse(
        BytesIO(content), tag=("{*}url", "{*}sitemap"), resolve_entities=False, no_network=True
    )
    for _, entry in events:
        address = (entry.findtext("{*}loc") or "").strip()
        if address:
            yield etree.QName(entry).localname, address.partition("#")[0]
        entry.clear()
        while entry.getprevious() is not None:
            del entry.getparent()[0]
    if etree.QName(events.root).localname not in ("urlset", "sitemapindex"):
        raise SourceError(url, "is no sitemap: it has neither urlset nor sitemapindex")


def _unpacked(url: str, raw: bytes) -> bytes:
    if not raw.startswith(_GZIP):
        return raw
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = unpacker.decompress(raw, MOST_BYTES)
    except zlib.error as exc:
        raise SourceError(url, f"is broken gzip ({exc})") from exc
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise SourceError(url, f"is cut off, or has more than {MOST_BYTES} bytes unpacked")
    return content
