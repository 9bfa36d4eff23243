"""Raw bytes of a document in, its text, title and blocks out."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from lxml import etree

from ingestion_assets.documents import (
    asciidoc,
    decoding,
    delimited,
    html,
    jsontext,
    markdown,
    media,
    notebook,
    plaintext,
    records,
    restructuredtext,
    sniffing,
    source,
)
from ingestion_assets.documents.document import (
    Block,
    BlockKind,
    Extract,
    Reading,
    UnreadableError,
)
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import ExtractionError

VERSION = 2  # counts up when the same bytes give another document: all are read again

_TITLE_WITHIN = 65_536  # characters

# Modules beside this one, each loaded by the first document of its kind, for what they need is
# heavy. Their `read` takes bytes, and gives text, title (or none) and metadata.
_BINARY_READERS = {
    media.PDF: "pdf",
    media.DOCX: "docx",
    media.PPTX: "pptx",
    media.XLSX: "spreadsheet",
    media.XLS: "spreadsheet",
    media.ODS: "spreadsheet",
    media.EPUB: "epub",
    media.EMAIL: "email",
}
_READERS: dict[str, Callable[[str], Reading]] = {
    media.MARKDOWN: markdown.read,
    media.HTML: html.read,
    media.NOTEBOOK: notebook.read,
    media.ASCIIDOC: asciidoc.read,
}
_RECORD_READERS: dict[str, Callable[[str, FieldMap | None], Reading]] = {
    media.CSV: delimited.read,
    media.JSON: jsontext.read,
    media.JSONL: jsontext.read_lines,
}
_RECORDS = (*_RECORD_READERS, media.XLSX, media.XLS, media.ODS)
_BLOCKS: dict[str, Callable[[str], list[Block]]] = {
    media.MARKDOWN: markdown.blocks,
    media.NOTEBOOK: markdown.blocks,
    media.PLAIN: plaintext.blocks,
    media.RST: restructuredtext.blocks,
    media.ASCIIDOC: asciidoc.blocks,
    **dict.fromkeys(_RECORDS, records.blocks),
}


def extract(
    uri: str, raw: bytes, media_type: str | None = None, fields: FieldMap | None = None
) -> Extract:
    """The text of a document, with its title and what its front matter or properties say.

    Of a text file, `metadata` also has the `encoding`, and, if there were any, the numbers of
    `replaced_bytes` (broken ones, now U+FFFD) and `removed_nuls`; of a document with pages, in
    `pages` the offsets in the text at which they begin. An empty file has an empty text.

    Args:
        media_type: how to read it, one of `media.READ`; told by name and content if not given.
        fields: where the parts of a record are, in CSV, JSON and JSON Lines.

    Raises:
        UnsupportedMediaError: neither text nor a document; says what it looks like.
        ExtractionError: what cannot be decoded or parsed, is encrypted, or has no text.
    """
    kind = media_type or sniffing.document(uri, raw)
    if kind in sniffing.NAMES:
        raise decoding.unsupported(uri, sniffing.NAMES[kind])
    decoded = None if kind in media.BINARY else decoding.decode(uri, raw)
    kind = kind or _read_as(uri, decoded.text if decoded else "")
    if decoded is None or kind in media.BINARY:
        reading = _read_bytes(uri, raw, kind)
    else:
        reading = _read(uri, kind, decoded.text, fields)
        reading = replace(reading, metadata={**reading.metadata, **decoded.metadata()})
    title = reading.title or _first_heading(kind, reading.text) or PurePosixPath(uri).stem
    return Extract(kind, title, reading.text, reading.metadata)


def blocks(media_type: str, text: str) -> list[Block]:
    """The blocks of an extracted text: in order, not overlapping, with exact offsets.

    Every character that is not blank is in a block, but for a Markdown file's front matter. Any
    media type without a reader of its own is taken for Markdown that was rendered by `extract`.
    """
    if media_type in media.SOURCE_CODE:
        return source.blocks(media_type, text)
    return _BLOCKS.get(media_type, markdown.rendered_blocks)(text)


def _read_as(uri: str, text: str) -> str:
    kind = sniffing.text(uri, text)
    return kind if kind in media.READ else media.PLAIN


def _read_bytes(uri: str, raw: bytes, media_type: str) -> Reading:
    reader = importlib.import_module(f"ingestion_assets.documents.{_BINARY_READERS[media_type]}")
    try:
        text, title, metadata = reader.read(raw)
    except UnreadableError as exc:
        raise ExtractionError(uri, str(exc)) from exc
    except (MemoryError, RecursionError):
        raise  # what a process does with these, it says better
    # A parser may trip over broken bytes anywhere, with any error: none of them is a fault of ours
    # to be mended in the run, and each of them costs this document alone.
    except Exception as exc:
        raise _unreadable(uri, media_type, f"{type(exc).__name__}: {exc}") from exc
    values = {name: _storable(value) for name, value in metadata.items() if value}
    return Reading(_storable(text), _storable(title).strip(), values)


def _read(uri: str, media_type: str, text: str, fields: FieldMap | None) -> Reading:
    try:
        if media_type in _RECORD_READERS:
            return _RECORD_READERS[media_type](text, fields)
        return _READERS.get(media_type, Reading)(text)
    except (etree.LxmlError, ValueError, RecursionError) as exc:
        raise _unreadable(uri, media_type, str(exc)) from exc


def _unreadable(uri: str, media_type: str, reason: str) -> ExtractionError:
    return ExtractionError(uri, f"cannot be read as {media_type} ({reason}); repair or exclude it")


def _storable(value: Any) -> Any:
    """The text, or the list's texts, as they can be stored."""
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return decoding.storable(value) if isinstance(value, str) else value


def _first_heading(media_type: str, text: str) -> str:
    if media_type in _RECORDS or media_type in media.SOURCE_CODE:  # a sheet's name is no title
        return ""
    found = blocks(media_type, text[:_TITLE_WITHIN])
    return next((b.title for b in found if b.kind is BlockKind.HEADING and b.title), "")
