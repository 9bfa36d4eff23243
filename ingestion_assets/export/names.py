"""Domains and categories in, parts of a path out: none leaves the folder, no two are the same."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

NONE = "uncategorised"  # of a document without a domain, or without a category

_PLAIN = re.compile(r"[^\W_](?:[\w .-]*\w)?")
_LONGEST = 100  # bytes; file systems take 255, archives less
_OF_WINDOWS = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_PATH = re.compile(r"[^\W_][\w .~-]*/[^\W_][\w .~-]*\.[a-z]+")


def names(values: Iterable[str | None]) -> dict[str | None, str]:
    """A part of a path for each domain, or for each category of a domain.

    What is plain stays as it is, a missing one is `uncategorised`. Any other, and one that differs
    from another by case alone, is its readable rest, `~`, and a hash; a plain one has no `~`.
    """
    given = set(values)
    alike = Counter(_folded(value) for value in given)
    return {
        value: _name(value, unique=value is None or alike[_folded(value)] == 1) for value in given
    }


def is_path(path: str) -> bool:
    """Whether a path may be made of two names: it stays below where it begins."""
    return bool(_PATH.fullmatch(path))


def _name(value: str | None, *, unique: bool) -> str:
    if value is None:
        return NONE
    return value if unique and _is_plain(value) else _hashed(value)


def _is_plain(value: str) -> bool:
    return (
        bool(_PLAIN.fullmatch(value))
        and len(value.encode()) <= _LONGEST
        and unicodedata.is_normalized("NFC", value)
        and not _OF_WINDOWS.fullmatch(value)
        and _folded(value) != NONE
    )


def _hashed(value: str) -> str:
    rest = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", value)).strip("-._")
    readable = rest[:24].strip("-._") or "unnamed"
    return f"{readable}~{blake2b(value.encode(), digest_size=8).hexdigest()}"


def _folded(value: str | None) -> str | None:
    """What file systems may take for the same name."""
    return None if value is None else unicodedata.normalize("NFKC", value).casefold()
