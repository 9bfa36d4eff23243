from pathlib import Path

import pytest

from ingestion_assets.errors import ConfigError
from ingestion_assets.sources import edit, load

BLOCK = """\
# ours
sources:
  - name: handbook   # the big one
    root: docs

  - name: notes
    root: notes
    metadata: {team: core}

# the end
"""
FLOW = "sources:\n  - {name: notes, root: notes}  # short\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sources.yaml"


def test_a_source_is_added_after_the_last_one_and_comments_stay(path: Path) -> None:
    path.write_text(BLOCK)
    edit.add(path, "wiki", "w i k i")
    assert path.read_text() == BLOCK.replace(
        "{team: core}\n", "{team: core}\n  - name: wiki\n    root: w i k i\n"
    )
    assert [source.name for source in load(path)] == ["handbook", "notes", "wiki"]


@pytest.mark.parametrize("text", [FLOW, "sources:\n- name: notes\n  root: |\n    notes\n"])
def test_a_source_is_added_whatever_the_style_of_its_neighbours(path: Path, text: str) -> None:
    path.write_text(text)
    edit.add(path, "wiki", "wiki")
    assert [source.name for source in load(path)] == ["notes", "wiki"]
    assert path.read_text().startswith(text)


def test_the_first_source_makes_the_file(path: Path) -> None:
    edit.add(path, "wiki", "wiki")
    assert [source.name for source in load(path)] == ["wiki"]


def test_a_name_with_a_yaml_meaning_is_quoted(path: Path) -> None:
    edit.add(path, "on", "yes: no")
    [source] = load(path)
    assert (source.name, source.root.name) == ("on", "yes: no")


def test_a_wrong_source_leaves_the_file_as_it_was(path: Path) -> None:
    path.write_text(BLOCK)
    with pytest.raises(ConfigError, match=r"sources\.yaml:.*'notes' is on line"):
        edit.add(path, "notes", "other")
    assert path.read_text() == BLOCK
    assert [file.name for file in path.parent.iterdir()] == ["sources.yaml"]


def test_a_list_in_brackets_is_left_to_the_user(path: Path) -> None:
    path.write_text("sources: [{name: a, root: a}]\n")
    with pytest.raises(ConfigError, match="by hand"):
        edit.add(path, "wiki", "wiki")


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (BLOCK, BLOCK.replace("    root: notes\n", "    buckets: 8\n    root: notes\n")),
        (FLOW, FLOW.replace("notes, root", "notes, buckets: 8, root")),
        (
            "sources:\n  - name: notes\n    buckets: 2  # few\n    root: n\n",
            "sources:\n  - name: notes\n    buckets: 8  # few\n    root: n\n",
        ),
    ],
)
def test_buckets_are_set_and_nothing_else_changes(path: Path, text: str, changed: str) -> None:
    path.write_text(text)
    edit.set_buckets(path, "notes", 8)
    assert path.read_text() == changed


def test_buckets_of_an_unknown_source_are_refused(path: Path) -> None:
    path.write_text(FLOW)
    with pytest.raises(ConfigError, match="no source is named 'wiki'"):
        edit.set_buckets(path, "wiki", 8)


def test_buckets_that_are_no_power_of_two_are_refused(path: Path) -> None:
    path.write_text(FLOW)
    with pytest.raises(ConfigError, match="power of two"):
        edit.set_buckets(path, "notes", 3)
    assert path.read_text() == FLOW
