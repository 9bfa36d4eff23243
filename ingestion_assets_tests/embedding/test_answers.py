import subprocess
import sys

import numpy as np
import orjson
import pytest

from ingestion_assets.embedding.answers import decode
from ingestion_assets.errors import OllamaAnswerError

AT = "http://127.0.0.1:11434"


def body(rows: object, **more: object) -> bytes:
    return orjson.dumps({"embeddings": rows, **more})


def test_rows_follow_the_answers_order() -> None:
    answer = decode(body([[1.0, 0.0], [0.0, 1.0]]), 2, AT)
    assert answer.matrix.dtype == np.float32
    assert answer.matrix.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert answer.dead == ()


def test_counts_are_read_and_may_be_missing() -> None:
    raw = body([[1.0]], prompt_eval_count=8, load_duration=2_000_000_000, total_duration=10**9)
    answer = decode(raw, 1, AT)
    assert (answer.tokens, answer.load_seconds, answer.total_seconds) == (8, 2.0, 1.0)
    assert decode(body([[1.0]]), 1, AT).tokens == 0


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"<html>", "not JSON"),
        (b"", "not JSON"),
        (b"[1]", "not an object"),
        (b"{}", "no vectors for 2 texts"),
        (body([]), "0 vectors for 2 texts"),
        (body([[1.0]]), "1 vectors for 2 texts"),
        (body([[1.0], [1.0], [1.0]]), "3 vectors for 2 texts"),
        (body([[1.0, 0.0], [1.0]]), "unequal length"),
        (body([["a"], ["b"]]), "not of numbers"),
        (body([{}, {}]), "not of numbers"),
        (body([[], []]), "empty"),
        (body([1.0, 1.0]), "not of numbers"),
        (body([[[1.0, 0.0]], [[0.0, 1.0]]]), "not of numbers"),
    ],
)
def test_a_broken_answer_is_named(raw: bytes, message: str) -> None:
    with pytest.raises(OllamaAnswerError, match=message):
        decode(raw, 2, AT)


def test_dead_vectors_are_told_by_index_beside_the_good_ones() -> None:
    rows = [[1.0, 0.0], [0.0, 0.0], [None, 1.0], [3e38, 3e38], [0.0, 1.0], [0.3, 0.3]]
    answer = decode(body(rows), 6, AT)
    assert answer.dead == (1, 2, 3, 5)
    assert answer.matrix[[0, 4]].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_vector_off_unit_length_is_scaled_and_others_are_untouched() -> None:
    answer = decode(body([[3.0, 4.0], [0.6, 0.8004]]), 2, AT)
    assert answer.matrix[0] == pytest.approx([0.6, 0.8])
    assert answer.matrix[1].tolist() == np.array([0.6, 0.8004], np.float32).tolist()


WITHOUT_SIMDJSON = """
import sys
sys.modules["simdjson"] = None
from ingestion_assets.embedding.answers import decode
answer = decode(b'{"embeddings":[[0.6,0.8],[0,1]],"prompt_eval_count":7}', 2, "gpu1")
assert answer.matrix.shape == (2, 2) and answer.tokens == 7
assert "ingestion_assets.embedding.flat" not in sys.modules
"""


def test_answers_are_decoded_where_simdjson_cannot_be_imported() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_SIMDJSON], check=True)
