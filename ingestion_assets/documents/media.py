"""Names and first bytes in, the kind of content out."""

import re
from pathlib import PurePosixPath

MARKDOWN = "text/markdown"
PLAIN = "text/plain"
RST = "text/x-rst"
HTML = "text/html"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOC = "application/msword"
PPT = "application/vnd.ms-powerpoint"
XLS = "application/vnd.ms-excel"
ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
EPUB = "application/epub+zip"
EMAIL = "message/rfc822"
NOTEBOOK = "application/x-ipynb+json"
JSON = "application/json"
JSONL = "application/jsonl"
CSV = "text/csv"
ASCIIDOC = "text/asciidoc"
ZIP = "application/zip"
ENCRYPTED_OFFICE = "application/x-ole-encrypted"  # a name of our own: there is no standard one

PYTHON = "text/x-python"
JAVASCRIPT = "text/javascript"
TYPESCRIPT = "text/x-typescript"
TSX = "text/x-tsx"
GO = "text/x-go"
RUST = "text/x-rust"
JAVA = "text/x-java"
C = "text/x-c"
CPP = "text/x-c++"
CSHARP = "text/x-csharp"
RUBY = "text/x-ruby"
PHP = "text/x-php"
SHELL = "text/x-sh"
OTHER_SOURCE = "text/x-source"  # a language, or settings, without a grammar here
SOURCE_CODE = (
    PYTHON, JAVASCRIPT, TYPESCRIPT, TSX, GO, RUST, JAVA, C, CPP, CSHARP, RUBY, PHP, SHELL,
    OTHER_SOURCE,
)  # fmt: skip

BINARY = (PDF, DOCX, PPTX, XLSX, XLS, ODS, EPUB, EMAIL)
READ = (
    MARKDOWN, PLAIN, RST, HTML, ASCIIDOC, CSV, JSON, JSONL, NOTEBOOK, *SOURCE_CODE, *BINARY,
)  # fmt: skip
HARMLESS = {
    MARKDOWN,
    PLAIN,
    RST,
    ASCIIDOC,
    NOTEBOOK,
    *SOURCE_CODE,
}  # read in Python alone, in time that their size bounds

_SOURCE_SUFFIXES = {
    PYTHON: ".py .pyi .pyw",
    JAVASCRIPT: ".js .mjs .cjs .jsx",
    TYPESCRIPT: ".ts .mts .cts",
    TSX: ".tsx",
    GO: ".go",
    RUST: ".rs",
    JAVA: ".java",
    C: ".c",
    CPP: ".h .hh .hpp .hxx .cc .cpp .cxx",  # C++ reads the headers of C, too
    CSHARP: ".cs",
    RUBY: ".rb .rake .gemspec",
    PHP: ".php",
    SHELL: ".sh .bash",
    OTHER_SOURCE: ".kt .kts .swift .scala .sql .lua .r .pl .pm .hs .ml .ex .exs .erl .clj .dart"
    " .jl .f90 .m .zig .nim .groovy .ps1 .zsh .fish .css .scss .less .proto .graphql .tf .yaml"
    " .yml .toml .ini .cfg .conf .pyx .pxd .cmake .gradle",
}
_INTERPRETERS = {
    "python": PYTHON, "node": JAVASCRIPT, "ruby": RUBY, "php": PHP, "sh": SHELL, "bash": SHELL,
    "dash": SHELL, "ksh": SHELL, "perl": OTHER_SOURCE, "lua": OTHER_SOURCE, "zsh": OTHER_SOURCE,
    "awk": OTHER_SOURCE, "tclsh": OTHER_SOURCE, "make": OTHER_SOURCE,
}  # fmt: skip
_SHEBANG = re.compile(r"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+|\w+=\S+\s+)*)?(?:\S*/)?([a-z]+)")

_BY_SUFFIX = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdown": MARKDOWN,
    ".mkd": MARKDOWN,
    ".rst": RST,
    ".rest": RST,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".shtml": HTML,
    ".adoc": ASCIIDOC,
    ".asciidoc": ASCIIDOC,
    ".asc": ASCIIDOC,
    ".csv": CSV,
    ".tsv": CSV,
    ".json": JSON,
    ".geojson": JSON,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".ipynb": NOTEBOOK,
    **{suffix: kind for kind, suffixes in _SOURCE_SUFFIXES.items() for suffix in suffixes.split()},
}

_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)

# What no text begins with.
_SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (b"{\\rtf", "an RTF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted Office document"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x1f\x8b", "gzip data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x7fELF", "an ELF executable"),
    (b"\xca\xfe\xba\xbe", "Java byte code or a Mach-O binary"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O binary"),
    (b"\x00asm", "WebAssembly"),
    (b"\xde\x12\x04\x95", "a compiled message catalog"),
)

# A text may begin with these, so they only name what is binary anyway.
_WEAK_SIGNATURES = (
    (b"GIF8", "a GIF image"),
    (b"RIFF", "RIFF media (WebP, WAV, AVI)"),
    (b"BM", "a BMP image"),
    (b"MZ", "a Windows executable"),
    (b"BZh", "bzip2 data"),
    (b"ID3", "an MP3"),
    (b"OggS", "Ogg media"),
    (b"fLaC", "FLAC audio"),
    (b"PAR1", "a Parquet file"),
    (b"wOF", "a web font"),
    (b"OTTO", "a font"),
    (b"\x00\x01\x00\x00", "a font"),
)

# Text may hold form feeds, backspaces (man pages) and escapes (ISO-2022, terminal colours).
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b")) + b"\x7f"
_CONTROL_SHARE = 0.02


def media_type(uri: str, text: str) -> str:
    """The media type to read a text as: by its name, else by how it begins."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(uri).suffixes]
    if suffixes[-1:] == [".txt"] and suffixes[-2:-1] and suffixes[-2] in _BY_SUFFIX:
        return _BY_SUFFIX[suffixes[-2]]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix in {"", ".txt"} and _HTML_START.match(text[:4096]):
        return HTML
    shebang = _SHEBANG.match(text[:4096]) if not suffix else None
    return _INTERPRETERS.get(shebang[1], PLAIN) if shebang else PLAIN


def signature(raw: bytes) -> str | None:
    """What the first bytes say it is, if no text can begin with them."""
    return next((name for magic, name in _SIGNATURES if raw.startswith(magic)), None)


def binary(raw: bytes) -> str | None:
    """What it looks like if too many of its bytes are control characters, else None.

    UTF-16 and UTF-32 are full of NULs: look for them first.
    """
    controls = len(raw) - len(raw.translate(None, _CONTROLS))
    if controls <= len(raw) * _CONTROL_SHARE:
        return None
    name = next((name for magic, name in _WEAK_SIGNATURES if raw.startswith(magic)), None)
    return name or f"binary data ({controls / len(raw):.0%} control characters)"
