import io
import json
import zipfile

import pytest

from ingestion_assets import documents
from ingestion_assets.documents import media, sniffing
from ingestion_assets.errors import UnsupportedMediaError

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


def archive(*names: str, mimetype: str | None = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as members:
        if mimetype:
            members.writestr(zipfile.ZipInfo("mimetype"), mimetype)
        for name in names:
            members.writestr(zipfile.ZipInfo(name), "words")
    return made.getvalue()


@pytest.mark.parametrize(
    ("uri", "raw", "kind"),
    [
        ("report.txt", b"%PDF-1.7\n", media.PDF),
        ("report", b"\r\n%PDF-1.4\n", media.PDF),
        ("report.pdf", b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.4\n", media.PDF),
        ("format.md", b"A file begins with %PDF-1.4, then", None),
        ("a.zip", archive("[Content_Types].xml", "word/document.xml"), media.DOCX),
        ("a.docx", archive("[Content_Types].xml", "ppt/presentation.xml"), media.PPTX),
        ("a", archive("[Content_Types].xml", "xl/workbook.xml"), media.XLSX),
        ("a.zip", archive("word/notes.md"), media.ZIP),
        ("a.docx", archive("notes.md"), media.DOCX),
        ("a.zip", archive("content.xml", mimetype=media.ODT), media.ODT),
        ("a.zip", archive("OEBPS/book.opf", mimetype=media.EPUB), media.EPUB),
        ("a.docx", archive("[Content_Types].xml", "word/document.xml")[:80], media.DOCX),
        ("a.bin", archive("a")[:40], media.ZIP),
        ("a.doc", OLE + "WordDocument".encode("utf-16-le"), media.DOC),
        ("a", OLE + "Workbook".encode("utf-16-le"), media.XLS),
        ("a.docx", OLE + "EncryptedPackage".encode("utf-16-le"), media.ENCRYPTED_OFFICE),
        ("a.msi", OLE, None),
        ("a.pdf", b"words", None),
        ("a.md", b"", None),
    ],
)
def test_content_says_what_is_no_text(uri, raw, kind):
    assert sniffing.document(uri, raw) == kind


MAIL = "Received: from a\n by b\nFrom: a@example.com\nSubject: ropes\n\nHello"


@pytest.mark.parametrize(
    ("uri", "text", "kind"),
    [
        ("mail.txt", MAIL, media.EMAIL),
        ("cur/1700000000.M1P2", MAIL, media.PLAIN),
        ("mail", f"From a@example.com Mon Jan  1\n{MAIL}", media.EMAIL),
        ("notes.md", MAIL, media.MARKDOWN),
        ("dialogue.txt", "From: the author\nTo: the reader\n\nHello", media.PLAIN),
        ("license.txt", "Date: today\nFrom here on,\n\nwords", media.PLAIN),
        ("a.txt", json.dumps({"cells": [], "nbformat": 4}), media.NOTEBOOK),
        ("a", '[{"a": 1}]', media.JSON),
        ("a.txt", '{"a": 1}\n{"a": 2}\n', media.JSONL),
        ("a.txt", "[1] a footnote", media.PLAIN),
        ("a.txt", "[" * 100_000, media.PLAIN),
        ("a.txt", "{curly} words", media.PLAIN),
        ("a.txt", "a,b\n1,2\n", media.PLAIN),
    ],
)
def test_content_says_what_a_text_without_a_telling_name_is(uri, text, kind):
    assert sniffing.text(uri, text) == kind


@pytest.mark.parametrize(
    ("uri", "raw", "looks_like"),
    [
        ("a.txt", archive("content.xml", mimetype=media.ODT), "an OpenDocument text"),
        ("a.docx", OLE + "EncryptedPackage".encode("utf-16-le"), "an encrypted Office document"),
    ],
)
def test_what_has_no_reader_is_named_for_what_it_is(uri, raw, looks_like):
    with pytest.raises(UnsupportedMediaError, match=f"is {looks_like}, not text"):
        documents.extract(uri, raw)


def test_a_directory_too_large_to_be_read_is_not_read():
    raw = archive("a")
    size = raw.rindex(b"PK\x05\x06") + 12
    hostile = bytes(5_000_000) + raw[:size] + (5_000_000).to_bytes(4, "little") + raw[size + 4 :]
    with pytest.raises(zipfile.BadZipFile, match="directory has 5000000 bytes"):
        zipfile.ZipFile(sniffing.Bounded(hostile))
