import json

import pytest

from ingestion_assets.documents.frontmatter import split


def test_values_are_json():
    text = (
        "---\ntitle: Ropes\ndate: 2024-01-31\ndraft: true\norder: 3\nratio: 1.5\nno: ~\n"
        "tags: [a, 'b']\nnested:\n  norway: no\n  quoted: '5'\n---\n# Text\n"
    )
    values, end = split(text)
    assert text[end:] == "# Text\n"
    assert values == {
        "title": "Ropes",
        "date": "2024-01-31",
        "draft": True,
        "order": 3,
        "ratio": 1.5,
        "no": None,
        "tags": ["a", "b"],
        "nested": {"norway": "no", "quoted": "5"},
    }
    assert json.dumps(values)


@pytest.mark.parametrize(
    "text",
    [
        "no front matter",
        "---\nunclosed: true\n",
        "---\n[unbalanced\n---\n",
        "---\njust a line of text\n---\n",
        "---\na: !!python/object:os.system x\nb: [\n---\n",
        "---\na: &x [1]\nb: [*x, *x]\n---\n",
        "---\n? [a]\n: b\n---\n",
        "---\na: " + "[" * 20_000 + "\n---\n",
        " ---\na: b\n---\n",
    ],
)
def test_malformed_front_matter_is_text(text):
    assert split(text) == ({}, 0)


def test_what_postgres_cannot_store_is_cleaned():
    values, _ = split('---\na: "x\\0y"\nb: "\\ud800"\n---\n')
    assert values == {"a": "xy", "b": "?"}


def test_tags_build_no_objects():
    values, _ = split("---\na: !!python/name:os.system ls\n---\n")
    assert values == {"a": "ls"}
