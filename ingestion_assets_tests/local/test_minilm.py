"""The vectors are those of the official model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ingestion_assets.local.minilm import CONTEXT, MiniLM, cut, micro_batches

FIXTURES = Path(__file__).parents[1] / "data" / "minilm"


@pytest.fixture(scope="module")
def model():
    return MiniLM()


@pytest.mark.parametrize("fixture", ["chunks", "edge"])
def test_vectors_agree_with_the_reference(model, fixture):
    texts = json.loads((FIXTURES / f"{fixture}.json").read_text())
    reference = np.load(FIXTURES / f"{fixture}.npy")
    vectors = model.embed(texts)
    assert vectors.dtype == np.float32
    assert np.abs(vectors - reference).max() < 1e-5


def test_rows_follow_the_order_of_texts(model):
    texts = ["a", "a much longer text about rope", "b", "two words"]
    alone = np.concatenate([model.embed([text]) for text in texts])
    assert np.abs(model.embed(texts) - alone).max() < 1e-5


def test_token_lists_are_embedded_like_their_texts(model):
    texts = ["Why is the sky blue?", "x"]
    assert np.array_equal(model.embed(model.tokenize(texts)), model.embed(texts))


def test_no_texts_make_no_rows(model):
    assert model.embed([]).shape == (0, 384)


def test_a_text_is_cut_to_the_context_with_its_end_token(model):
    (tokens,) = model.tokenize(["word " * 1000])
    kept = cut(tokens, CONTEXT)
    assert (len(tokens), len(kept)) == (1002, CONTEXT)
    assert kept[-1] == tokens[-1]


def test_micro_batches_hold_every_text_once_longest_first():
    tokens = [[0] * length for length in (3, 9, 1, 7, 5)]
    assert micro_batches(tokens) == [[1, 3, 4, 0], [2]]


def test_the_runtime_leaves_nothing_in_the_home_folder(tmp_path):
    code = "from ingestion_assets.local.minilm import MiniLM; MiniLM().embed(['a'])"
    environment = os.environ | {"HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
