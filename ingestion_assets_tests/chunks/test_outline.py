from ingestion_assets.chunks.outline import sections
from ingestion_assets_tests.chunks.given import document


def outline(*parts: str) -> list[tuple[str, list[str]]]:
    text, blocks = document(*parts)
    return [
        (" > ".join(section.path), [text[block.start : block.end] for block in section.blocks])
        for section in sections(blocks)
    ]


def test_headings_are_a_path():
    assert outline("# Guide", "a", "## Retries", "b", "c", "# Index", "d") == [
        ("Guide", ["a"]),
        ("Guide > Retries", ["b", "c"]),
        ("Index", ["d"]),
    ]


def test_text_before_the_first_heading_has_no_path():
    assert outline("a", "# Guide", "b") == [("", ["a"]), ("Guide", ["b"])]


def test_levels_may_be_skipped_and_come_back():
    assert outline("### Deep", "a", "# Top", "#### Low", "b", "## Mid", "c") == [
        ("Deep", ["a"]),
        ("Top > Low", ["b"]),
        ("Top > Mid", ["c"]),
    ]


def test_equal_headings_stay_two_sections():
    assert outline("# A", "x", "# A", "y") == [("A", ["x"]), ("A", ["y"])]


def test_a_heading_with_only_sub_headings_is_no_section():
    assert outline("# Guide", "## Retries", "a") == [("Guide > Retries", ["a"])]


def test_a_heading_with_nothing_below_is_its_own_text():
    assert outline("# FAQ", "## Why?", "## How?", "# End", "a") == [
        ("FAQ", ["## Why?"]),
        ("FAQ", ["## How?"]),
        ("End", ["a"]),
    ]


def test_only_headings_still_say_something():
    assert outline("# A", "## B", "### C") == [("A > B", ["### C"])]


def test_a_heading_without_title_adds_nothing_to_the_path():
    assert outline("# A", "## ", "x", "### B", "y") == [("A", ["x"]), ("A > B", ["y"])]


def test_no_blocks_are_no_sections():
    assert outline() == []
