"""Raw bytes of a document in, its text, title and blocks out."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from lxml import etree

from ingestion_assets.documents import (
    decoding,
    frontmatter,
    html,
    markdown,
    media,
    plaintext,
    restructuredtext,
    rows,
    sniffing,
)
from ingestion_assets.documents.decoding import Decoded
from ingestion_assets.documents.document import Block, BlockKind, Extract, UnreadableError
from ingestion_assets.errors import ExtractionError

VERSION = 2  # counts up when the same bytes give another Extract: all documents are read again

_TITLE_WITHIN = 65_536  # characters

# Modules beside this one, each loaded by the first document of its kind, for what they need is
# heavy. Their `read` takes bytes, and gives text, title (or none) and metadata.
_READERS = {
    media.PDF: "pdf",
    media.DOCX: "docx",
    media.PPTX: "pptx",
    media.XLSX: "spreadsheet",
    media.XLS: "spreadsheet",
    media.ODS: "spreadsheet",
    media.EPUB: "epub",
    media.EMAIL: "email",
}
_BLOCKS: dict[str, Callable[[str], list[Block]]] = {
    media.MARKDOWN: markdown.blocks,
    media.PLAIN: plaintext.blocks,
    media.RST: restructuredtext.blocks,
    media.XLSX: rows.blocks,
    media.XLS: rows.blocks,
    media.ODS: rows.blocks,
}


def extract(uri: str, raw: bytes, media_type: str | None = None) -> Extract:
    """The text of a document, with its title and what its front matter or properties say.

    Of a text file, `metadata` also has the `encoding`, and, if there were any, the numbers of
    `replaced_bytes` (broken ones, now U+FFFD) and `removed_nuls`; of a document with pages, in
    `pages` the offsets in the text at which they begin. An empty file has an empty text.

    Args:
        media_type: how to read it, one of `media.READ`; told by name and content if not given.

    Raises:
        UnsupportedMediaError: neither text nor a document; says what it looks like.
        ExtractionError: what cannot be decoded or parsed, is encrypted, or has no text.
    """
    kind = media_type or sniffing.document(uri, raw)
    if kind in sniffing.NAMES:
        raise decoding.unsupported(uri, sniffing.NAMES[kind])
    decoded = None if kind in _READERS else decoding.decode(uri, raw)
    kind = kind or _read_as(uri, decoded.text if decoded else "")
    if decoded is None or kind in _READERS:
        text, title, metadata = _read(uri, raw, kind)
    else:
        text, title, metadata = _of_text(uri, decoded, kind)
    title = title or _first_heading(kind, text) or PurePosixPath(uri).stem
    return Extract(kind, title, text, metadata)


def blocks(media_type: str, text: str) -> list[Block]:
    """The blocks of an extracted text: in order, not overlapping, with exact offsets.

    Every character that is not blank is in a block, but for a Markdown file's front matter. Any
    media type without a reader of its own is taken for Markdown that was rendered by `extract`.
    """
    return _BLOCKS.get(media_type, markdown.rendered_blocks)(text)


def _read(uri: str, raw: bytes, media_type: str) -> tuple[str, str, Mapping[str, Any]]:
    reader = importlib.import_module(f"ingestion_assets.documents.{_READERS[media_type]}")
    try:
        text, title, metadata = reader.read(raw)
    except UnreadableError as exc:
        raise ExtractionError(uri, str(exc)) from exc
    except (MemoryError, RecursionError):
        raise  # what a process does with these, it says better
    # A parser may trip over broken bytes anywhere, with any error: none of them is a fault of ours
    # to be mended in the run, and each of them costs this document alone.
    except Exception as exc:
        reason = f"{type(exc).__name__}: {exc}"
        raise ExtractionError(
            uri, f"cannot be read as {media_type} ({reason}); repair or exclude it"
        ) from exc
    values = {name: _storable(value) for name, value in metadata.items() if value}
    return _storable(text), _storable(title).strip(), values


def _storable(value: Any) -> Any:
    """The text, or the list's texts, without NULs and lone surrogates."""
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _of_text(uri: str, decoded: Decoded, media_type: str) -> tuple[str, str, Mapping[str, Any]]:
    metadata: dict[str, Any] = {"encoding": decoded.encoding}
    if decoded.replaced:
        metadata["replaced_bytes"] = decoded.replaced
    if decoded.nuls:
        metadata["removed_nuls"] = decoded.nuls
    text, title = decoded.text, ""
    if media_type == media.HTML:
        text, title = _rendered(uri, text)
    elif media_type == media.MARKDOWN:
        values, _ = frontmatter.split(text)
        metadata = {**values, **metadata}
        title = str(values.get("title") or "").strip()
    return text, title, metadata


def _read_as(uri: str, text: str) -> str:
    kind = sniffing.text(uri, text)
    return kind if kind in media.READ else media.PLAIN


def _rendered(uri: str, text: str) -> tuple[str, str]:
    try:
        return html.render(text)
    except (etree.LxmlError, ValueError, RecursionError) as exc:
        raise ExtractionError(uri, f"the HTML cannot be parsed ({exc}); repair it") from exc


def _first_heading(media_type: str, text: str) -> str:
    if _BLOCKS.get(media_type) is rows.blocks:  # the name of a sheet is no title
        return ""
    found = blocks(media_type, text[:_TITLE_WITHIN])
    return next((b.title for b in found if b.kind is BlockKind.HEADING and b.title), "")
