import io
import zipfile
from collections.abc import Mapping

import pytest

from ingestion_assets import documents
from ingestion_assets.errors import ExtractionError
from ingestion_assets_tests.documents.given import checked

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>A Book</dc:title><dc:creator>Ada</dc:creator><dc:creator>Alan</dc:creator>
</metadata><manifest>
<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="b" href="two.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="text/the%20one.xhtml" media-type="application/xhtml+xml"/>
</manifest><spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/></spine></package>"""
PAGE = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{}</body></html>'
BOOK = {
    "META-INF/container.xml": CONTAINER,
    "OEBPS/book.opf": PACKAGE,
    "OEBPS/nav.xhtml": PAGE.format("<p>Contents</p>"),
    "OEBPS/text/the one.xhtml": PAGE.format('<a id="x"/><h1>One</h1><p>words</p>'),
    "OEBPS/two.xhtml": PAGE.format("<h1>Two</h1>"),
}


def zipped(members: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


def test_chapters_are_read_in_the_order_of_the_spine():
    extract = documents.extract("a.epub", zipped(BOOK))
    checked(extract.media_type, extract.text)
    assert extract.text == "# One\n\nwords\n\n# Two"
    assert (extract.title, extract.metadata) == ("A Book", {"author": "Ada, Alan"})


def test_a_protected_book_is_named():
    reference = '<e><CipherReference URI="OEBPS/two.xhtml"/></e>'
    with pytest.raises(ExtractionError, match="copy-protected"):
        documents.extract("a.epub", zipped({**BOOK, "META-INF/encryption.xml": reference}))


@pytest.mark.parametrize("lacking", ["META-INF/container.xml", "OEBPS/two.xhtml"])
def test_what_a_book_lacks_is_named(lacking):
    members = {name: text for name, text in BOOK.items() if name != lacking}
    with pytest.raises(ExtractionError, match=f"lacks its {lacking}"):
        documents.extract("a.epub", zipped(members))


def test_an_entity_is_not_expanded():
    bomb = '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + PACKAGE.replace("Ada", "&b;")
    extract = documents.extract("a.epub", zipped({**BOOK, "OEBPS/book.opf": bomb}))
    assert "aaaa" not in extract.metadata["author"]


def test_an_archive_that_unpacks_to_too_much_is_named(monkeypatch):
    monkeypatch.setattr("ingestion_assets.documents.office._LARGEST", 1 << 20)
    with pytest.raises(ExtractionError, match="unpacks to 4 MiB"):
        documents.extract("a.epub", zipped({**BOOK, "OEBPS/big": " " * (4 << 20)}))
