from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.sources import Source
from ingestion_assets.sources.categories import Rule

SOURCE = Source("wiki", Path("/wiki"), domain="company", category="page")


def names(uri: str, *rules: Rule, **own: Any) -> tuple[str | None, str | None]:
    found = replace(SOURCE, categories=rules).names(uri, own)
    return found["domain"], found["category"]


def test_without_rules_the_source_says_it():
    assert names("hr/leave.md") == ("company", "page")
    assert Source("wiki").names("hr/leave.md", {}) == {"domain": None, "category": None}


def test_the_first_rule_that_matches_counts():
    rules = (
        Rule("hr/leave/**", domain="people", category="leave"),
        Rule("hr/**", domain="people"),
        Rule("**/*.md", category="note"),
    )
    assert names("hr/leave/a.md", *rules) == ("people", "leave")
    assert names("hr/b.md", *rules) == ("people", "page")
    assert names("it/c.md", *rules) == ("company", "note")
    assert names("it/c.txt", *rules) == ("company", "page")


def test_parts_of_the_path_are_taken_over():
    rule = Rule("{domain}/{category}/**")
    assert names("hr/leave/2026/a.md", rule) == ("hr", "leave")
    assert names("hr/a.md", rule) == ("company", "page")
    assert names("docs/guide-it.md", Rule("docs/guide-{category}.md")) == ("company", "it")
    assert names("hr/x/a.md", Rule("{domain}/**", category="all")) == ("hr", "all")


def test_hidden_folders_and_addresses_match_too():
    assert names(".github/a.md", Rule("{domain}/**")) == (".github", "page")
    address = "https://example.org/hr/leave.html"
    assert names(address, Rule("https://*/{category}/**")) == ("company", "hr")
    assert names(address, Rule("**/hr/**", domain="people")) == ("people", "page")


def test_what_the_document_says_wins():
    rule = Rule("hr/**", domain="people", category="leave")
    assert names("hr/a.md", rule, category="pay") == ("people", "pay")
    assert names("hr/a.md", rule, domain="finance", category=2026) == ("finance", "2026")


@pytest.mark.parametrize("said", ["", "  ", None, True, ["a"], {"a": 1}, "a\0b", "\ud800"])
def test_what_is_no_name_is_left_to_the_rules(said):
    assert names("a.md", category=said) == ("company", "page")


def test_rules_change_the_hash_and_their_absence_does_not():
    ruled = replace(SOURCE, categories=(Rule("hr/**", domain="people"),))
    assert ruled.content_hash(b"raw") != SOURCE.content_hash(b"raw")
    other = replace(SOURCE, categories=(Rule("hr/**", domain="staff"),))
    assert other.content_hash(b"raw") != ruled.content_hash(b"raw")
