"""Raw bytes of a document in, its text, title and blocks out."""

from collections.abc import Callable
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
    source,
)
from ingestion_assets.documents.document import Block, BlockKind, Extract, Reading
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import ExtractionError

VERSION = 2  # counts up when the same bytes give another Extract: all documents are read again

_TITLE_WITHIN = 65_536  # characters

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
_BLOCKS: dict[str, Callable[[str], list[Block]]] = {
    media.MARKDOWN: markdown.blocks,
    media.NOTEBOOK: markdown.blocks,
    media.PLAIN: plaintext.blocks,
    media.RST: restructuredtext.blocks,
    media.ASCIIDOC: asciidoc.blocks,
    **dict.fromkeys(_RECORD_READERS, records.blocks),
}


def extract(
    uri: str, raw: bytes, media_type: str | None = None, fields: FieldMap | None = None
) -> Extract:
    """The text of a document, with its title and what it says of itself.

    `metadata` also has the `encoding`, and, if there were any, the numbers of `replaced_bytes`
    (broken ones, now U+FFFD) and `removed_nuls`. An empty file has an empty text.

    Args:
        media_type: how to read it, one of `media.READ`; told by name and content if not given.
        fields: where the parts of a record are, in CSV, JSON and JSON Lines.

    Raises:
        UnsupportedMediaError: not text; says what it looks like.
        ExtractionError: text that cannot be decoded or parsed.
    """
    decoded = decoding.decode(uri, raw)
    media_type = media_type or media.media_type(uri, decoded.text)
    metadata: dict[str, Any] = {"encoding": decoded.encoding}
    if decoded.replaced:
        metadata["replaced_bytes"] = decoded.replaced
    if decoded.nuls:
        metadata["removed_nuls"] = decoded.nuls
    reading = _read(uri, media_type, decoded.text, fields)
    title = reading.title or _first_heading(media_type, reading.text) or PurePosixPath(uri).stem
    return Extract(media_type, title, reading.text, {**reading.metadata, **metadata})


def blocks(media_type: str, text: str) -> list[Block]:
    """The blocks of an extracted text: in order, not overlapping, with exact offsets.

    Every character that is not blank is in a block, but for a Markdown file's front matter. Any
    media type without a reader of its own is taken for Markdown that was rendered by `extract`.
    """
    if media_type in media.SOURCE_CODE:
        return source.blocks(media_type, text)
    return _BLOCKS.get(media_type, markdown.rendered_blocks)(text)


def _read(uri: str, media_type: str, text: str, fields: FieldMap | None) -> Reading:
    try:
        if media_type in _RECORD_READERS:
            return _RECORD_READERS[media_type](text, fields)
        return _READERS.get(media_type, Reading)(text)
    except (etree.LxmlError, ValueError, RecursionError) as exc:
        raise ExtractionError(
            uri, f"cannot be read as {media_type} ({exc}); repair it, or exclude it"
        ) from exc


def _first_heading(media_type: str, text: str) -> str:
    if media_type in _RECORD_READERS or media_type in media.SOURCE_CODE:
        return ""
    found = blocks(media_type, text[:_TITLE_WITHIN])
    return next((b.title for b in found if b.kind is BlockKind.HEADING and b.title), "")
