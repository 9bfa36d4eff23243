"""A sample tells vectors of the model from others, and what LlamaIndex embedded is put together."""

import json

import numpy as np
import pytest

from ingestion_assets.errors import AdoptionError
from ingestion_assets.store.adoption import Row, compare
from ingestion_assets.store.adoption.nodes import embedded_metadata
from ingestion_assets.store.adoption.soundness import sound
from ingestion_assets_tests.store.adoption.given import unit


def _rows(n: int) -> list[Row]:
    return [Row(str(i), "d", "", "t", 3 * unit(i, 8), {}) for i in range(n)]


def test_vectors_of_the_model_pass_whatever_their_length():
    verdict = compare(_rows(40), [unit(i, 8) for i in range(40)], 8)
    verdict.insist("m")
    assert (verdict.compared, verdict.differing) == (40, [])
    assert verdict.lowest == pytest.approx(1)


@pytest.mark.parametrize(("wrong", "passes"), [(1, True), (2, False), (3, False)])
def test_more_than_one_in_twenty_that_differ_are_refused(wrong, passes):
    answers = [unit(i + 100 * (i < wrong), 8) for i in range(20)]
    verdict = compare(_rows(20), answers, 8)
    assert sorted(verdict.differing) == [str(i) for i in range(wrong)]
    if passes:
        verdict.insist("m")
    else:
        with pytest.raises(AdoptionError, match=rf"{wrong} of 20 rows .* another --model"):
            verdict.insist("m")


def test_texts_that_the_model_does_not_take_count_as_different():
    verdict = compare(_rows(2), [None, unit(1, 8)], 8)
    assert verdict.unanswered == ["0"]
    with pytest.raises(AdoptionError, match="1 texts it does not take"):
        verdict.insist("m")


def test_only_finite_vectors_of_the_right_width_and_some_length_are_sound():
    nan, short = np.full(4, np.nan, np.float32), np.ones(3, np.float32)
    checked = sound([unit(1), nan, short, np.zeros(4, np.float32), 5 * unit(2)], 4)
    assert (list(checked.positions), checked.normalised) == ([0, 4], 1)
    assert np.linalg.norm(checked.matrix, axis=1) == pytest.approx([1, 1])
    assert sound([], 4).matrix.shape == (0, 4)


def _metadata(**changes: object) -> dict[str, str]:
    node = {
        "metadata": {"path": "a.md", "size": 3, "ok": True},
        "excluded_embed_metadata_keys": ["size"],
        "metadata_template": "{key}: {value}",
        "metadata_separator": "\n",
        "text_template": "{metadata_str}\n\n{content}",
    }
    return {"_node_content": json.dumps({**node, **changes})}


@pytest.mark.parametrize(
    ("metadata", "lead"),
    [
        (_metadata(), "path: a.md\nok: True"),
        (_metadata(metadata_separator="; "), "path: a.md; ok: True"),
        (_metadata(metadata_template="{key}={value}"), "path=a.md\nok=True"),
        (_metadata(metadata={"a": "{value}"}), "a: {value}"),
        (_metadata(text_template="{content}"), ""),
        (_metadata(metadata={}), ""),
        ({"_node_content": "no json"}, ""),
        ({}, ""),
    ],
)
def test_a_nodes_metadata_stands_as_it_was_embedded(metadata, lead):
    assert embedded_metadata(metadata) == lead
