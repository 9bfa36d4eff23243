"""What documents that are ZIP archives of XML have in common."""

import io
import zipfile
from typing import Any

from lxml import etree

from ingestion_assets.documents.document import UnreadableError

_LARGEST = 1 << 29  # bytes, unpacked
_ENCRYPTED = 1  # flag of a member
_SAFE = etree.XMLParser(resolve_entities=False, no_network=True)
_PROPERTIES = {
    "title": "title",
    "creator": "author",
    "created": "created",
    "modified": "modified",
}
_CORE = "http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties"


def archive(raw: bytes) -> zipfile.ZipFile:
    """The archive, opened; no member of it yields more than the size that was looked at here.

    Raises:
        UnreadableError: no archive, encrypted, or too large when unpacked.
    """
    try:
        opened = zipfile.ZipFile(io.BytesIO(raw))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as exc:
        raise UnreadableError(f"is truncated or broken ({exc}); get a whole copy") from exc
    members = opened.infolist()
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise UnreadableError("is encrypted; save it without a password")
    if (size := sum(member.file_size for member in members)) > _LARGEST:
        raise UnreadableError(
            f"unpacks to {size >> 20:,} MiB, more than {_LARGEST >> 20}; exclude or divide it"
        )
    return opened


def properties(package: Any) -> tuple[str, dict[str, Any]]:
    """Title and metadata of a package of python-docx or python-pptx.

    Their own `core_properties` makes up what is missing, with the present time.
    """
    try:
        root = etree.fromstring(package.part_related_by(_CORE).blob, _SAFE)
    except KeyError:
        return "", {}
    said = {name: (root.findtext(f"{{*}}{name}") or "").strip() for name in _PROPERTIES}
    named = {_PROPERTIES[name]: text for name, text in said.items()}
    return named.pop("title"), named
