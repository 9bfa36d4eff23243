"""Files made to do harm, and a program that reads a folder of them as a run does.

Run as `python -m ingestion_assets_tests.sources.hostile FOLDER`: it prints what became of each, and
the memory that took.
"""

import io
import json
import resource
import sys
import zipfile
from collections import Counter
from pathlib import Path

from ingestion_assets.documents.processes import Limits
from ingestion_assets.sources import Reconciliation, Source

DEEP = 100_000
MAX_BYTES = 1_000_000
_UNIT = 1 if sys.platform == "darwin" else 1024

_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a0 "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n + 1, b"&a%d;" % n * 10) for n in range(10))
    + b"]><html><body><p>before</p><p>&a10;</p></body></html>"
)
_EXTERNAL = (
    b'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b"<html><body><p>before &x; after</p></body></html>"
)


def packed(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def lay_out(folder: Path) -> None:
    """Write the files; `one-line.txt` has 500 MB, but takes no room."""
    bomb = packed(**{"bomb.txt": bytes(100_000_000), "fine.md": b"fine"})
    for uri, content in {
        "flat.zip": bomb,
        "nested.zip": packed(**{"inner.zip": bomb, "fine.md": b"fine"}),
        "traversal.zip": packed(**{"../../escaped.md": b"evil", "fine.md": b"fine"}),
        "broken.zip": bomb[:-30],
        "bomb.docx": packed(**{"[Content_Types].xml": b"", "word/document.xml": _LAUGHS}),
        "laughs.xhtml": _LAUGHS,
        "laughs.svg": _LAUGHS,
        "external.xhtml": _EXTERNAL,
        "invalid.txt": b"\x81\x8d\xff\xfe\xfd words " * 100,
        "half.txt": "ünfinished".encode() * 50 + b"\xc3",
        "deep.html": b"<div>" * DEEP + b"deep",
        "deep-list.html": b"<ul><li>" * DEEP + b"deep",
        "deep.json": b"[" * DEEP,
        "deep.txt": b'{"a":' * DEEP,
        "quotes.md": b"> " * DEEP + b"deep",
        "lists.md": b"- " * DEEP + b"deep",
        "front-matter.md": b"---\na: " + b"[" * 30_000 + b"\n---\ndeep",
        "truncated.pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog",
        "good.md": b"good",
        "good.html": b"<p>good",
    }.items():
        (folder / uri).write_bytes(content)
    with open(folder / "one-line.txt", "wb") as file:
        file.truncate(500_000_000)


def _own() -> int:
    """Bytes at most; where it can be told, without what the process that started this one had."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    source = Source("hostile", root=Path(sys.argv[1]).resolve(), max_bytes=MAX_BYTES)
    limits = Limits(processes=2, seconds=20, memory=400_000_000, characters=MAX_BYTES)
    reading = Reconciliation(source, "hostile/00", {}, lambda _: Counter(), limits=limits)
    texts = {row.uri: row.text for changes in reading for row in changes.rows}
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _UNIT
    usage = {"parent": _own(), "children": children}
    named = {f.uri: f.error_class for f in [*reading.failures, *reading.skipped]}
    print(json.dumps({"texts": texts, "named": named, "memory": usage}))  # noqa: T201


if __name__ == "__main__":
    main()
