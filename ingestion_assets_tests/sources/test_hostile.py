import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets_tests.sources import hostile

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("hostile") / "root"
    made.mkdir()
    hostile.lay_out(made)
    return made


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Any:
    line = [sys.executable, "-m", hostile.__name__, str(folder)]
    made = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(made.stdout)


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("flat.zip!/bomb.txt", "ArchiveLimitError"),
        ("nested.zip!/inner.zip!/bomb.txt", "ArchiveLimitError"),
        ("traversal.zip!/../../escaped.md", "UnsafeMemberError"),
        ("broken.zip", "ArchiveError"),
        ("one-line.txt", "SourceError"),
    ],
)
def test_what_is_made_to_do_harm_is_one_named_error(outcome, uri, error):
    assert outcome["named"][uri] == error
    assert uri not in outcome["texts"]


@pytest.mark.parametrize(
    "uri",
    [
        "good.md",
        "good.html",
        "half.txt",
        "flat.zip!/fine.md",
        "nested.zip!/inner.zip!/fine.md",
        "traversal.zip!/fine.md",
    ],
)
def test_its_neighbours_are_stored(outcome, uri):
    assert uri in outcome["texts"]


def test_every_file_is_stored_or_named(folder, outcome):
    seen = {uri.partition("!/")[0] for uri in [*outcome["texts"], *outcome["named"]]}
    assert seen == {path.name for path in folder.iterdir()}


def test_no_text_is_larger_than_it_may_be(outcome):
    assert max(map(len, outcome["texts"].values())) <= hostile.MAX_BYTES


def test_entities_are_not_expanded_and_nothing_outside_is_read(outcome):
    assert "before" in outcome["texts"]["laughs.xhtml"]
    assert len(outcome["texts"]["laughs.xhtml"]) < 1000
    assert "before" in outcome["texts"]["external.xhtml"]
    assert "root:" not in "".join(outcome["texts"].values())


def test_deep_nesting_is_read(outcome):
    deep = ("deep.html", "deep-list.html", "quotes.md", "lists.md", "front-matter.md")
    assert all("deep" in outcome["texts"][uri] for uri in deep)


def test_memory_is_bounded(outcome):
    assert max(outcome["memory"].values()) < 400_000_000


def test_nothing_is_written(folder):
    assert [path.name for path in folder.parent.iterdir()] == ["root"]
