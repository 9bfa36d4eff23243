import pytest

from ingestion_assets.documents.media import media_type


@pytest.mark.parametrize(
    ("uri", "text", "expected"),
    [
        ("a/b.md", "", "text/markdown"),
        ("B.MARKDOWN", "", "text/markdown"),
        ("a.rst", "", "text/x-rst"),
        ("library/os.rst.txt", "", "text/x-rst"),
        ("a.html", "no tags at all", "text/html"),
        ("a.txt", "words", "text/plain"),
        ("README", "# words", "text/plain"),
        ("pip.dist-info/METADATA", "Name: pip", "text/plain"),
        ("code.py", "<html>", "text/x-python"),
        ("a/B.TSX", "", "text/x-tsx"),
        ("schema.sql", "", "text/x-source"),
        ("bin/tool", "#!/usr/bin/env -S python3 -u\n", "text/x-python"),
        ("bin/tool", "#! /bin/sh\n", "text/x-sh"),
        ("bin/tool", "#!/opt/unheard-of\n", "text/plain"),
        ("bin/notes.txt", "#!/bin/sh\n", "text/plain"),
        ("t.tsv", "", "text/csv"),
        ("t.ndjson", "", "application/jsonl"),
        ("t.ipynb", "", "application/x-ipynb+json"),
        ("t.adoc", "", "text/asciidoc"),
        ("wiki/Main_Page", "<!-- saved -->\n<!DOCTYPE html><html>", "text/html"),
        ("page.txt", "\n<HTML><body>", "text/html"),
        (".hidden", "", "text/plain"),
    ],
)
def test_name_decides_then_content(uri, text, expected):
    assert media_type(uri, text) == expected
