import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from ingestion_assets import documents
from ingestion_assets.documents import frontmatter
from ingestion_assets.errors import ExtractionError
from ingestion_assets_tests.documents.given import checked


@pytest.mark.parametrize(
    ("uri", "raw", "title"),
    [
        ("a.md", b"---\ntitle: Front\n---\n# Head\n", "Front"),
        ("a.md", b"text\n\n## First *one*\n\n# Second\n", "First one"),
        ("a.rst", b"Head\n====\n", "Head"),
        ("a.html", b"<title> T\n t </title><h1>H</h1>", "T t"),
        ("a.html", b"<p>x<h1>H</h1>", "H"),
        ("dir/some-file.txt", b"words", "some-file"),
        ("README", b"words", "README"),
        ("a.md", b"", "a"),
    ],
)
def test_title_is_the_best_there_is(uri, raw, title):
    assert documents.extract(uri, raw).title == title


def test_an_empty_file_has_an_empty_text():
    extract = documents.extract("a.md", b"")
    assert (extract.text, extract.media_type) == ("", "text/markdown")
    assert documents.blocks(extract.media_type, extract.text) == []


def test_metadata_says_what_was_found():
    raw = b"---\ntags: [x]\nencoding: lie\n---\nw\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xff\0"
    extract = documents.extract("a.md", raw + b"words " * 50)
    assert extract.metadata == {
        "tags": ["x"],
        "encoding": "utf-8",
        "replaced_bytes": 1,
        "removed_nuls": 1,
    }


def test_markdown_is_kept_as_it_is():
    raw = b"# A  \n\n*b*\n\n"
    assert documents.extract("a.md", raw).text == raw.decode()


def test_a_parser_that_gives_up_names_the_document(monkeypatch):
    def give_up(text, parser):
        raise etree.LxmlError("deep inside")

    monkeypatch.setattr(etree, "fromstring", give_up)
    with pytest.raises(ExtractionError, match=r"'sub/a.html'.*deep inside"):
        documents.extract("sub/a.html", b"<p>")


def installed_texts() -> Iterator[Path]:
    suffixes = {".md", ".rst", ".txt", ".html"}
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or ():
            if file.suffix in suffixes or file.name in {"METADATA", "LICENSE", "README", "AUTHORS"}:
                path = Path(str(distribution.locate_file(file)))
                if path.is_file():
                    yield path


def test_text_of_every_installed_distribution_is_covered_by_exact_blocks():
    kinds = set()
    for path in installed_texts():
        extract = documents.extract(str(path), path.read_bytes())
        for media_type in {extract.media_type, "text/markdown", "text/x-rst"}:
            markdown = media_type == "text/markdown"
            start = frontmatter.split(extract.text)[1] if markdown else 0
            kinds |= {block.kind for block in checked(media_type, extract.text, start)}
    assert len(kinds) == 5
