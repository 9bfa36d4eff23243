"""Raw bytes of a document in, its text, title and blocks out."""

from collections.abc import Callable
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
)
from ingestion_assets.documents.document import Block, BlockKind, Extract
from ingestion_assets.errors import ExtractionError

VERSION = 2  # counts up when the same bytes give another document: all are read again

_TITLE_WITHIN = 65_536  # characters

_BLOCKS: dict[str, Callable[[str], list[Block]]] = {
    media.MARKDOWN: markdown.blocks,
    media.PLAIN: plaintext.blocks,
    media.RST: restructuredtext.blocks,
}


def extract(uri: str, raw: bytes, media_type: str | None = None) -> Extract:
    """The text of a document, with its title and what its front matter says.

    `metadata` also has the `encoding`, and, if there were any, the numbers of `replaced_bytes`
    (broken ones, now U+FFFD) and `removed_nuls`. An empty file has an empty text.

    Args:
        media_type: how to read it, one of `media.READ`; told by name and content if not given.

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
    text, title = decoded.text, ""
    if media_type == media.HTML:
        text, title = _rendered(uri, text)
    elif media_type == media.MARKDOWN:
        values, _ = frontmatter.split(text)
        metadata = {**values, **metadata}
        title = str(values.get("title") or "").strip()
    title = title or _first_heading(media_type, text) or PurePosixPath(uri).stem
    return Extract(media_type, title, text, metadata)


def blocks(media_type: str, text: str) -> list[Block]:
    """The blocks of an extracted text: in order, not overlapping, with exact offsets.

    Every character that is not blank is in a block, but for a Markdown file's front matter. Any
    media type without a reader of its own is taken for Markdown that was rendered by `extract`.
    """
    return _BLOCKS.get(media_type, markdown.rendered_blocks)(text)


def _rendered(uri: str, text: str) -> tuple[str, str]:
    try:
        return html.render(text)
    except (etree.LxmlError, ValueError, RecursionError) as exc:
        raise ExtractionError(uri, f"the HTML cannot be parsed ({exc}); repair it") from exc


def _first_heading(media_type: str, text: str) -> str:
    found = blocks(media_type, text[:_TITLE_WITHIN])
    return next((b.title for b in found if b.kind is BlockKind.HEADING and b.title), "")
