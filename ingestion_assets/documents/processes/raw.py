"""A document before its extraction, and the extraction of it that fails by name only."""

import json
from dataclasses import dataclass
from importlib import import_module

from ingestion_assets.documents.document import Extract
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import (
    ExtractionError,
    ExtractionMemoryError,
    ReaderError,
    SourceError,
    TextTooLargeError,
)

OUT_OF_MEMORY = "needs more memory than a document may; exclude it, or raise INGEST_DOCUMENT_MEMORY"


@dataclass(frozen=True, slots=True)
class Raw:
    """A document as `documents.extract` takes it."""

    uri: str
    content: bytes
    media_type: str | None = None
    fields: FieldMap | None = None


def extracted(function: str, raw: Raw, characters: int) -> Extract:
    """The text of a document, `characters` or as many as the file has bytes at most.

    Args:
        function: what extracts it, as `package.module:function`.

    Raises:
        SourceError: whatever it was that failed.
    """
    try:
        module, _, name = function.partition(":")
        extract = getattr(import_module(module), name)
        found: Extract = extract(raw.uri, raw.content, raw.media_type, raw.fields)
        _check(found)
    except SourceError:
        raise
    except MemoryError:
        raise ExtractionMemoryError(raw.uri, OUT_OF_MEMORY) from None
    except RecursionError:
        raise ExtractionError(raw.uri, "is nested too deeply; flatten or exclude it") from None
    except Exception as exc:
        raise ReaderError(
            raw.uri, f"its reader failed ({type(exc).__name__}: {exc}); report it, or exclude it"
        ) from exc
    if len(found.text) > max(characters, len(raw.content)):
        raise TextTooLargeError(
            raw.uri,
            f"its {len(raw.content)} bytes hold {len(found.text)} characters of text, more than"
            f" {characters}; split or exclude it",
        )
    return found


def _check(found: Extract) -> None:
    """Nothing that Postgres refuses: it would refuse all of the batch."""
    found.text.encode()
    said = json.dumps([found.title, dict(found.metadata)], ensure_ascii=False, allow_nan=False)
    said.encode()
    if "\0" in found.text or "\\u0000" in said.replace(r"\\", ""):
        raise ValueError("it gives a NUL")
