"""Every way in, with bytes that nobody would write: a good reading, or an error by name.

INGEST_FUZZ_EXAMPLES sets how many are tried of each; 100,000 take some minutes.
"""

import io
import os
import zipfile
from pathlib import PurePosixPath

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingestion_assets.documents import decoding, frontmatter, sniffing
from ingestion_assets.documents.processes.pool import EXTRACT
from ingestion_assets.documents.processes.raw import Raw, extracted
from ingestion_assets.errors import ReaderError, SourceError
from ingestion_assets.sources import Record, archives
from ingestion_assets_tests.documents.given import checked

EXAMPLES = int(os.environ.get("INGEST_FUZZ_EXAMPLES", "60"))
fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES == 60,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

MARKS = [
    "# ", "- ", "1. ", "> ", "```", "~~~", "    ", "\t", "|", "|-|", "---", "===", "***", "`",
    "``", "[a]", "(b)", "![", "<div>", "</div>", "<p>", "<li>", "<ul>", "<table>", "<tr>", "<td>",
    "<pre>", "<code class='language-x'>", "<!--", "-->", "<![CDATA[", "]]>", "&amp;", "&#0;",
    "&#xD800;", "<br>", ".. code::", "::", "+--+", "== ==", ">>> ", "\n", "\n\n", "\r", "\u000b",
    "\f", "\u001c", "\u0085", "\u2028", "\u0000", "\ufeff", "\ufffe", "é", "語", "🙂", "{", "}",
    '"a": ', "a: b", ": ", "&a", "*a", "!!x ", "? ", "%", "%PDF-", "From: a\n", "Date: b\n",
    "word ", "x",
]  # fmt: skip
markup = st.lists(st.sampled_from(MARKS), max_size=60).map("".join)
encoded = st.builds(
    lambda text, encoding: text.encode(encoding, "replace"),
    markup,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "cp1252", "cp932", "koi8_r"]),
)
content = st.one_of(
    markup.map(str.encode),
    encoded,
    st.binary(max_size=400),
    st.builds(bytes.__add__, encoded, st.binary(max_size=20)),
)
SUFFIXES = [".md", ".rst", ".html", ".xhtml", ".txt", "", ".rst.txt", ".json", ".csv", ".eml"]


@given(content, st.sampled_from(SUFFIXES))
@fuzzed
@example(b"---\na: &a\n---\n", ".md")
def test_every_document_is_read_or_named(raw, suffix):
    try:
        found = extracted(EXTRACT, Raw(f"a{suffix}", raw), 10_000)
    except ReaderError:
        raise
    except SourceError:
        return
    is_markdown = found.media_type == "text/markdown"
    checked(found.media_type, found.text, frontmatter.split(found.text)[1] if is_markdown else 0)


@given(content)
@fuzzed
def test_every_byte_is_decoded_or_named(raw):
    try:
        text = decoding.decode("a.txt", raw).text
    except SourceError:
        return
    assert "\0" not in text
    assert "\r" not in text
    text.encode()


@given(markup)
@fuzzed
def test_all_front_matter_is_values_or_none(text):
    values, start = frontmatter.split(f"---\n{text}\n---\nwords")
    assert 0 <= start <= len(text) + 15
    assert bool(start) or not values


@st.composite
def broken_archives(draw):
    """An archive of a few members, some of its bytes changed, cut out or put in."""
    made = io.BytesIO()
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(made, "w", method) as archive:
        for name in draw(
            st.lists(st.sampled_from(["a.md", "b/c.txt", "../d", "e.zip"]), unique=True)
        ):
            archive.writestr(name, draw(st.binary(max_size=50)))
    raw = bytearray(made.getvalue())
    for at, length, new in draw(
        st.lists(
            st.tuples(st.integers(0, len(raw)), st.integers(0, 4), st.binary(max_size=4)),
            max_size=4,
        )
    ):
        raw[at : at + length] = new
    return bytes(raw)


@given(broken_archives())
@fuzzed
def test_every_archive_is_read_or_named(raw):
    sniffing.document("a.zip", raw)
    archives.listed("a.zip", io.BytesIO(raw))
    try:
        found = list(archives.members(Record("a.zip", raw), 1000))
    except SourceError:
        return
    for member in found:
        assert member.uri.startswith("a.zip!/")
        if isinstance(member, Record):
            assert len(member.raw()) <= 1000
            assert ".." not in PurePosixPath(member.uri).parts
            member.uri.encode()
