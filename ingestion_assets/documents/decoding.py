"""Bytes in, clean text and the name of its encoding out."""

import codecs
import re
from dataclasses import dataclass
from typing import Any

import charset_normalizer

from ingestion_assets.documents import media
from ingestion_assets.errors import ExtractionError, UnsupportedMediaError

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Which of four bytes are zero in text that is mostly ASCII.
_SHAPES = (
    ((False, True, True, True), "utf-32-le"),
    ((True, True, True, False), "utf-32-be"),
    ((False, True, False, True), "utf-16-le"),
    ((True, False, True, False), "utf-16-be"),
)
_SHAPE_SAMPLE = 4096  # bytes

_DECLARED = re.compile(
    rb"<meta[^>]+?charset\s*=\s*[\"']?\s*([\w.:-]+)"
    rb"|<\?xml[^>]+?encoding\s*=\s*[\"']([\w.:-]+)"
    rb"|\A(?:[^\n]*\n)?[^\n]*?coding[:=]\s*([\w.-]+)",
    re.I,
)
_DECLARED_WITHIN = 2048  # bytes

# What the web means by these names, and what Python would not make of them.
_WEB_NAMES = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}

# charset-normalizer's guesses on short text are wild unless it is held to encodings in use, and the
# most frequent one is preferred.
_LEGACY = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1253",
    "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp866", "iso8859_2",
]  # fmt: skip
_WESTERN = "cp1252"
_WESTERN_MARGIN = 0.1  # of chaos

# A UTF-8 file with a few broken bytes has at least this many sound characters for each of them.
_SOUND_PER_BROKEN = 4


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text without NULs and lone surrogates, its lines ended by line feeds.

    Attributes:
        replaced: broken bytes that became U+FFFD.
        nuls: NUL characters removed, since Postgres cannot store them.
    """

    text: str
    encoding: str
    replaced: int = 0
    nuls: int = 0

    def metadata(self) -> dict[str, Any]:
        """What is worth keeping of it, by name."""
        damage = {"replaced_bytes": self.replaced, "removed_nuls": self.nuls}
        return {"encoding": self.encoding, **{name: n for name, n in damage.items() if n}}


def decode(uri: str, raw: bytes) -> Decoded:
    """Decode by byte order mark, shape, UTF-8, the declared charset, or else by statistics.

    Raises:
        UnsupportedMediaError: the bytes are not text; says what they look like.
        ExtractionError: text in no known encoding.
    """
    if kind := media.signature(raw):
        raise unsupported(uri, kind)
    decoded = _marked(raw) or _shaped(raw)
    if decoded is None:
        if kind := media.binary(raw):
            raise unsupported(uri, kind)
        decoded = _utf8(raw) or _declared(raw) or _guessed(raw)
    if decoded is None:
        raise ExtractionError(uri, "text in no known encoding; save it as UTF-8")
    nuls = decoded.text.count("\0")
    text = decoded.text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    return Decoded(text, decoded.encoding, decoded.replaced, nuls)


def storable(text: str) -> str:
    """A text without what escapes can spell and Postgres cannot store: NULs, lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def unsupported(uri: str, kind: str) -> UnsupportedMediaError:
    """Why something is not read: what it is, as in "a PDF", instead of text."""
    return UnsupportedMediaError(uri, f"is {kind}, not text; exclude it or convert it to text")


def _strict(raw: bytes, encoding: str) -> Decoded | None:
    try:
        text = raw.decode(encoding)
        # Some codecs (UTF-7, unicode_escape) let lone surrogates through, which UTF-8 cannot hold.
        text.encode()
    except UnicodeError:
        return None
    return Decoded(text, encoding)


def _marked(raw: bytes) -> Decoded | None:
    found = (_strict(raw[len(mark) :], name) for mark, name in _MARKS if raw.startswith(mark))
    return next((decoded for decoded in found if decoded), None)


def _shaped(raw: bytes) -> Decoded | None:
    sample = raw[:_SHAPE_SAMPLE]
    if b"\0" not in sample or len(raw) % 2:
        return None
    for shape, encoding in _SHAPES:
        if all(_zeros(sample[i::4]) == zero for i, zero in enumerate(shape)):
            decoded = _strict(raw, encoding)
            return decoded if decoded and not media.binary(decoded.text.encode()) else None
    return None


def _zeros(column: bytes) -> bool | None:
    """Whether the bytes are mostly zero (True), hardly ever (False), or neither (None)."""
    share = column.count(0) / max(len(column), 1)
    if share > 0.5:
        return True
    return False if share < 0.02 else None


def _utf8(raw: bytes) -> Decoded | None:
    if decoded := _strict(raw, "utf-8"):
        return decoded
    text = raw.removeprefix(codecs.BOM_UTF8).decode(errors="replace")
    replaced = text.count("\ufffd") - raw.count("\ufffd".encode())
    sound = len(text) - len(text.encode("ascii", "ignore")) - replaced
    if sound < replaced * _SOUND_PER_BROKEN:
        return None
    return Decoded(text, "utf-8", replaced)


def _declared(raw: bytes) -> Decoded | None:
    match = _DECLARED.search(raw[:_DECLARED_WITHIN])
    if match is None:
        return None
    label = next(group for group in match.groups() if group).decode("ascii", "ignore")
    try:
        name = codecs.lookup(label).name
        return _strict(raw, _WEB_NAMES.get(name, name))
    except LookupError:  # unknown, or no text encoding at all (base64, rot13)
        return None


def _guessed(raw: bytes) -> Decoded | None:
    matches = list(charset_normalizer.from_bytes(raw, cp_isolation=_LEGACY, enable_fallback=False))
    if not matches:
        return None
    best = matches[0]
    western = any(
        _WESTERN in {match.encoding, *match.could_be_from_charset}
        and match.chaos <= best.chaos + _WESTERN_MARGIN
        and match.coherence >= best.coherence
        for match in matches
    )
    return _strict(raw, _WESTERN if western else best.encoding)
