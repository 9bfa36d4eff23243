"""Content in, its media type out, where the content makes it certain."""

import io
import json
import re
import zipfile
from contextlib import suppress
from pathlib import PurePosixPath

from ingestion_assets.documents import media

NAMES = {  # of what is known, and not read
    media.DOC: "an old Word document",
    media.PPT: "an old PowerPoint presentation",
    media.ODT: "an OpenDocument text",
    media.ODP: "an OpenDocument presentation",
    media.ZIP: "a ZIP archive",
    media.ENCRYPTED_OFFICE: "an encrypted Office document",
}

ZIP_START = b"PK\x03\x04"
_OLE_START = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PDF_WITHIN = 1024  # bytes: some writers put others before its mark, and readers look for it there
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # that unpack no more than is asked for
_LARGEST_DIRECTORY = 4_000_000  # bytes, of an archive; each member takes about 50 and its name

_BY_SUFFIX = {
    ".docx": media.DOCX,
    ".docm": media.DOCX,
    ".pptx": media.PPTX,
    ".pptm": media.PPTX,
    ".xlsx": media.XLSX,
    ".xlsm": media.XLSX,
    ".odt": media.ODT,
    ".odp": media.ODP,
    ".ods": media.ODS,
    ".epub": media.EPUB,
}
_BY_MEMBER = (
    ("word/", media.DOCX),
    ("ppt/", media.PPTX),
    ("xl/", media.XLSX),
)
_BY_MIMETYPE = {kind.encode(): kind for kind in (media.ODT, media.ODP, media.ODS, media.EPUB)}
_BY_STREAM = (
    ("EncryptedPackage", media.ENCRYPTED_OFFICE),
    ("WordDocument", media.DOC),
    ("PowerPoint Document", media.PPT),
    ("Workbook", media.XLS),
)

_HEADER = re.compile(r"(?:[!-9;-~]++:[^\n]*+\n(?:[ \t][^\n]*+\n)*+)++\n")
_MBOX = re.compile(r"From [^\n]+\n")
_SENT = re.compile(r"^(?:from|sender):", re.I | re.M)
_TRACED = re.compile(r"^(?:date|message-id|received|mime-version|return-path):", re.I | re.M)
_JSON_WITHIN = 1_000_000  # characters; whether a longer text is JSON is not looked at
_LOOKED_AT = 65_536


def document(uri: str, raw: bytes) -> str | None:
    """The media type of what is no text: PDF, Office, OpenDocument, EPUB, ZIP, e-mail; else None.

    The name decides for e-mails, and for archives whose members do not tell.
    """
    suffix = PurePosixPath(uri).suffix.lower()
    if raw.lstrip(b"\xef\xbb\xbf\0\t\n\f\r ").startswith(b"%PDF-") or (
        suffix == ".pdf" and b"%PDF-" in raw[:_PDF_WITHIN]
    ):
        return media.PDF
    if raw.startswith(ZIP_START):
        return _package(raw) or _BY_SUFFIX.get(suffix, media.ZIP)
    if raw.startswith(_OLE_START):
        return next((kind for name, kind in _BY_STREAM if name.encode("utf-16-le") in raw), None)
    return media.EMAIL if suffix == ".eml" else None  # in no encoding, or in several


def text(uri: str, content: str) -> str:
    """The media type to read a text as: by its name, or where that says nothing by the content."""
    named = media.media_type(uri, content)
    if named != media.PLAIN or PurePosixPath(uri).suffix.lower() not in {"", ".txt"}:
        return named
    begins = content[:_LOOKED_AT].lstrip("\ufeff \t\n")
    if begins[:1] in {"{", "["}:
        return _json(content) or media.PLAIN
    return media.EMAIL if _is_email(begins) else media.PLAIN


def _package(raw: bytes) -> str | None:
    """What kind of document an archive is, by its members; None if they do not tell."""
    with suppress(Exception), zipfile.ZipFile(Bounded(raw)) as archive:
        names = archive.namelist()
        if "mimetype" in names and archive.getinfo("mimetype").compress_type in _METHODS:
            with archive.open("mimetype") as member:
                return _BY_MIMETYPE.get(member.read(100).strip())
        if "[Content_Types].xml" in names:
            kinds = (
                kind for folder, kind in _BY_MEMBER if any(n.startswith(folder) for n in names)
            )
            return next(kinds, None)
    return None


def _json(content: str) -> str | None:
    if len(content) > _JSON_WITHIN:
        return None
    with suppress(ValueError, RecursionError):
        made = json.loads(content)
        is_notebook = isinstance(made, dict) and "nbformat" in made and "cells" in made
        return media.NOTEBOOK if is_notebook else media.JSON
    lines = content.splitlines()
    with suppress(ValueError, RecursionError):
        records = [json.loads(line) for line in lines if line.strip()]
        return media.JSONL if all(isinstance(record, dict) for record in records) else None
    return None


def _is_email(begins: str) -> bool:
    """Whether it begins as a message: fields alone, a sender and a trace among them."""
    header = _HEADER.match(begins, mbox.end() if (mbox := _MBOX.match(begins)) else 0)
    return bool(header and _SENT.search(header[0]) and _TRACED.search(header[0]))


class Bounded(io.BytesIO):
    """The bytes of an archive, whose directory is read at once: not if it is a hostile one's.

    Attributes:
        most: bytes that are read at once.
    """

    most = _LARGEST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        left = len(self.getbuffer()) - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > self.most:
            raise zipfile.BadZipFile(f"its directory has {wanted} bytes")
        return super().read(wanted)
