"""EPUB bytes in, Markdown out: its chapters are XHTML, read as HTML is."""

import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from lxml import etree

from ingestion_assets.documents import decoding, html, office
from ingestion_assets.documents.document import UnreadableError
from ingestion_assets.documents.rendering import Rendering

_SAFE = etree.XMLParser(resolve_entities=False, no_network=True)


def read(raw: bytes) -> tuple[str, str, dict[str, Any]]:
    """The chapters in the book's own order, without its table of contents.

    Raises:
        UnreadableError: under copy protection, truncated, or no book.
    """
    with office.archive(raw) as book:
        path = _package_path(book)
        package = _xml(book, path)
        protected = _protected(book)
        rendering = Rendering()
        for name in _chapters(package, posixpath.dirname(path)):
            if name in protected:
                raise UnreadableError("the book is copy-protected; get it without protection")
            chapter = decoding.decode(name, _member(book, name)).text
            rendering.markdown(html.read(chapter).text)
    metadata = {
        "author": _said(package, "creator"),
        "created": _said(package, "date"),
        "language": _said(package, "language"),
        "publisher": _said(package, "publisher"),
    }
    return rendering.text(), _said(package, "title"), metadata


def _package_path(book: zipfile.ZipFile) -> str:
    root = _xml(book, "META-INF/container.xml").find(".//{*}rootfile")
    if root is None:
        raise UnreadableError("the EPUB names no package; get a whole copy")
    return unquote(root.get("full-path", ""))


def _chapters(package: etree._Element, folder: str) -> Iterator[str]:
    """Names of the members to read, in order."""
    items = {item.get("id"): item for item in package.iterfind(".//{*}manifest/{*}item")}
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "html" not in item.get("media-type", ""):
            continue
        if "nav" not in item.get("properties", "").split():
            yield posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))


def _protected(book: zipfile.ZipFile) -> set[str]:
    """Names of the encrypted members; fonts are often, in books that can be read."""
    if "META-INF/encryption.xml" not in book.namelist():
        return set()
    found = _xml(book, "META-INF/encryption.xml").iterfind(".//{*}CipherReference")
    return {unquote(reference.get("URI", "")) for reference in found}


def _said(package: etree._Element, name: str) -> str:
    said = package.iterfind(f".//{{http://purl.org/dc/elements/1.1/}}{name}")
    return ", ".join(" ".join((element.text or "").split()) for element in said)


def _xml(book: zipfile.ZipFile, name: str) -> etree._Element:
    return etree.fromstring(_member(book, name), _SAFE)


def _member(book: zipfile.ZipFile, name: str) -> bytes:
    try:
        return book.read(name)
    except KeyError:
        raise UnreadableError(f"the EPUB lacks its {name}; get a whole copy") from None
