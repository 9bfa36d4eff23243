from ingestion_assets_tests.documents.given import pieces


def test_blank_lines_divide_paragraphs():
    assert pieces("text/plain", "\n\none\nline\n  \n two \n") == [
        ("paragraph", "one\nline"),
        ("paragraph", " two"),
    ]


def test_indented_code_stays_in_one_block():
    text = "Run:\n\n    make\n\n\n    make test\n\nDone.\n"
    assert pieces("text/plain", text) == [
        ("paragraph", "Run:"),
        ("code", "    make\n\n\n    make test"),
        ("paragraph", "Done."),
    ]


def test_fortunes_are_paragraphs():
    text = "One.\n\t-- A\n%\nTwo.\n%\n"
    assert pieces("text/plain", text) == [
        ("paragraph", "One.\n\t-- A\n%"),
        ("paragraph", "Two.\n%"),
    ]


def test_blank_text_has_no_blocks():
    assert pieces("text/plain", " \n\t\n") == []
