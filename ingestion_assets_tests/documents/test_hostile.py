"""Claims about every reader that hold for broken and malicious bytes, too."""

import json
import random
from collections.abc import Iterator

import pytest

from ingestion_assets import documents
from ingestion_assets.documents import frontmatter, media
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import ExtractionError
from ingestion_assets_tests.documents.given import checked

PIECES = [
    b'"', b"\n", b",", b";", b"\t", b"{", b"}", b"[", b"]", b"(", b"a<", b"----\n", b"====\n",
    b"* a\n", b"a::\n", b"+\n", b"\n\n", b"|===\n", b".T\n", b"== T\n", b"<main>", b"</main>",
    b"<article>", b"<div role=main>", b"</div>", b"<footer>", b"<table><tr><td>", b"</table>",
    b"<pre>", b"<p>", b"class A{", b"def f():\n ", b"\xc3\xa4", b"\xf0\x9f\x98\x80", b"\x0c", b"\r",
    b"\xe2\x80\xa8", b"\xff", b"# x\n", b"---\n", b"null", b"1e999", b"\\u0000", b"\\ud800",
    b'{"cells": [', b'{"text": "x"}\n',
]  # fmt: skip
SOUND = [
    b"# A\n\n- b\n\n```\nc\n```\n",
    b"= A\n\n* b\n+\n----\nc\n----\n",
    b"a,b\n1,2\n",
    b"<main><h1>A</h1><p>b",
    b'[{"text": "a", "b": [1, {"c": null}]}]',
    b'{"cells": [{"cell_type": "code", "source": ["a"], "outputs": [{"text": "1"}]}]}',
    b"/* a */\nclass A {\n  int f() { return 1; }\n}\n",
    b"def f():\n    return {1: [2]}\n",
]
FIELDS = [None, FieldMap(text=("text",), title="b.0", id="text", metadata=("b",))]


def inputs(count: int, seed: int) -> Iterator[tuple[random.Random, bytes]]:
    """Texts of every format; then cut short, with bits flipped, with pieces of others put in."""
    rng = random.Random(seed)
    yield from ((rng, raw) for raw in SOUND)
    for _ in range(count):
        raw = bytearray(rng.choice([*SOUND, b""]) * rng.choice([1, 20]))
        for _ in range(rng.choice([0, 1, 5, 30])):
            at = rng.randrange(len(raw) + 1)
            if rng.random() < 0.3 and at < len(raw):
                raw[at] ^= 1 << rng.randrange(8)
            else:
                raw[at:at] = rng.choice(PIECES) * rng.choice([1, 1, 40])
        yield rng, bytes(raw[: rng.randrange(len(raw) + 1)] if rng.random() < 0.3 else raw)


@pytest.mark.parametrize("media_type", [kind for kind in media.READ if kind not in media.BINARY])
def test_a_reader_gives_storable_text_in_exact_blocks_or_one_error(media_type):
    read = 0
    for rng, raw in inputs(60, seed=media.READ.index(media_type)):
        try:
            extract = documents.extract("a", raw, media_type, rng.choice(FIELDS))
        except ExtractionError:
            continue
        said = json.dumps(dict(extract.metadata), allow_nan=False, ensure_ascii=False)
        assert "\0" not in extract.text + extract.title
        assert "\\u0000" not in said
        f"{extract.text}{extract.title}{said}".encode()
        has_front_matter = media_type in {media.MARKDOWN, media.NOTEBOOK}
        checked(media_type, extract.text, has_front_matter * frontmatter.split(extract.text)[1])
        read += 1
    assert read > 0


@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        (media.CSV, '"a,' * 200_000),
        (media.CSV, "a,b\n" + '"' * 200_001),
        (media.CSV, "," * 200_000 + "\n1,2" * 300),
        (media.CSV, "1" * 200_000 + "x\n2\n"),
        (media.JSONL, "{\n" * 20_000 + '{"a": 1}'),
        (media.ASCIIDOC, "* a\n" + "\n" * 200_000 + " b"),
        (media.ASCIIDOC, "".join("=" * (4 + n) + "\n" for n in range(600))),
        (media.ASCIIDOC, "a:" * 100_000),
        (media.HTML, "<div><main>" * 20_000 + "x"),
        (media.JAVA, "class A{\n" * 5_000),
        (media.C, "#if a\n" * 5_000),
    ],
)  # fmt: skip
def test_no_text_takes_more_than_its_length(media_type, text):
    extract = documents.extract("a", text.encode(), media_type)
    assert checked(media_type, extract.text)
