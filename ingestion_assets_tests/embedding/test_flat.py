from collections.abc import Mapping

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from ingestion_assets.embedding import answers
from ingestion_assets.embedding.answers import decode
from ingestion_assets.errors import OllamaAnswerError

flat = pytest.importorskip("ingestion_assets.embedding.flat")  # not on Python 3.14

AT = "http://127.0.0.1:11434"
UNIT = [[0.6, 0.8], [1.0, 0.0]]


def body(rows: object, **more: object) -> bytes:
    return orjson.dumps({"model": "m", "embeddings": rows, **more})


def nothing(body: bytes, n: int) -> tuple[NDArray[np.float32], Mapping[str, object]] | None:
    return None


def outcome(raw: bytes, n: int) -> object:
    """All that an answer holds, bit by bit, or the message of what is wrong with it."""
    try:
        answer = decode(raw, n, AT)
    except OllamaAnswerError as error:
        return str(error)
    matrix = answer.matrix
    counts = (answer.tokens, answer.load_seconds, answer.total_seconds)
    return matrix.shape, matrix.dtype, matrix.tobytes(), answer.dead, counts


def outcome_without_simdjson(raw: bytes, n: int) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "read_flat", nothing)
        return outcome(raw, n)


USUAL = {
    "good": body(UNIT, prompt_eval_count=8, load_duration=2 * 10**9, total_duration=10**9),
    "integers": b'{"embeddings":[[0,1],[1,0]]}',
    "numbers of every form": b'{"embeddings":[[-0,1e0],[1E-400,-1.0]]}',
    "off unit length": body([[3.0, 4.0], [0.0, 0.0]]),
    "beyond float32": body([[1e300, 0.0], [1.0, 0.0]]),
    "large integers": b'{"embeddings":[[18446744073709551615,0],[-9223372036854775808,1]]}',
    "counts of other types": body(
        UNIT, prompt_eval_count="8", load_duration={}, total_duration=1.5
    ),
    "spaces": b'{ "embeddings" : [ [ 1 , 0 ] ,\n [ 0 , 1 ] ] }\n',
    "escaped key": b'{"\\u0065mbeddings":[[0,1],[1,0]]}',
}
UNUSUAL = {
    "null": b'{"embeddings":[[null,1],[1,0]]}',
    "true": b'{"embeddings":[[true,false],[1,0]]}',
    "strings": b'{"embeddings":[["a","b"],[1,0]]}',
    "objects": b'{"embeddings":[[1,{}],[1,0]]}',
    "ragged": b'{"embeddings":[[1,0],[1]]}',
    "ragged, the sum is right": b'{"embeddings":[[1],[1,0,0]]}',
    "empty rows": b'{"embeddings":[[],[]]}',
    "no rows": b'{"embeddings":[]}',
    "numbers for rows": b'{"embeddings":[1,0]}',
    "a number for a row": b'{"embeddings":[[1],1],"more":[]}',
    "a string for a row": b'{"embeddings":[[1],"1"],"more":[]}',
    "nested deeper": b'{"embeddings":[[[1,0]],[[1,0]]]}',
    "nested in places": b'{"embeddings":[[1,[0]],[0,1]]}',
    "nested, and a row missing": b'{"embeddings":[[[1],[0]]]}',
    "too few": b'{"embeddings":[[1,0]]}',
    "too many": b'{"embeddings":[[1,0],[1,0],[1,0]]}',
    "not JSON": b"<html>[[[",
    "nothing": b"",
    "a list": b"[[1,0],[0,1]]",
    "no vectors": b'{"a":[[1,0],[0,1]]}',
    "vectors are a string": b'{"embeddings":"[[["}',
    "beyond double": b'{"embeddings":[[1e400,0],[0,1]]}',
    "beyond 64 bits": b'{"embeddings":[[18446744073709551616,0],[0,1]]}',
    "NaN": b'{"embeddings":[[NaN,0],[0,1]]}',
    "the key twice": b'{"embeddings":[[1,0],[0,1]],"embeddings":[[0,1],[1,0]]}',
    "the key twice, once without rows": b'{"embeddings":[[1,0],[0,1]],"embeddings":1}',
    "a count twice": body(UNIT)[:-1] + b',"prompt_eval_count":1,"prompt_eval_count":2}',
    "an endless count": body(UNIT)[:-1] + b',"prompt_eval_count":' + b"9" * 50 + b"}",
    "trailing garbage": body(UNIT) + b" x",
    "trailing zero": body(UNIT) + b"\0",
    "cut off": body(UNIT)[:-8],
    "byte order mark": b"\xef\xbb\xbf" + body(UNIT),
    "invalid UTF-8": b'{"embeddings":[[1,0],[0,1]],"model":"\xff"}',
    "lone surrogate": b'{"embeddings":[[1,0],[0,1]],"model":"\\ud800"}',
    "a bracket in the name": b'{"embeddings":[[1,0],[0,1]],"model":"m[1]"}',
    "leading space": b" " + body(UNIT),
    "deep": b'{"embeddings":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep and cut off": b'{"embeddings":' + b"[" * 100_000,
    "deep beside": body(UNIT)[:-1] + b',"a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "very many keys": b"{" + b",".join(b'"%d":1' % i for i in range(100_000)) + b"}",
}


@pytest.mark.parametrize("raw", USUAL.values(), ids=USUAL.keys())
def test_a_usual_answer_is_read_flat(raw: bytes) -> None:
    assert flat.read(raw, 2) is not None


@pytest.mark.parametrize("raw", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_an_unusual_answer_is_left_to_the_other_reader(raw: bytes) -> None:
    assert flat.read(raw, 2) is None


@pytest.mark.parametrize("raw", (USUAL | UNUSUAL).values(), ids=(USUAL | UNUSUAL).keys())
def test_an_answer_means_the_same_without_simdjson(raw: bytes) -> None:
    assert outcome(raw, 2) == outcome_without_simdjson(raw, 2)


@pytest.mark.parametrize("n", [0, 1])
def test_answers_to_no_text_and_to_one_mean_the_same_too(n: int) -> None:
    raw = body([[0.6, 0.8]] * n)
    assert outcome(raw, n) == outcome_without_simdjson(raw, n)


def test_random_bodies_mean_the_same() -> None:
    rng = np.random.default_rng(7)
    good = body(UNIT, prompt_eval_count=8)
    usual = 0
    for _ in range(2_000):
        mangled = bytearray(good)
        for place in rng.integers(0, len(good), rng.integers(1, 4)):
            mangled[place] = rng.choice(list(b'[]{}",:.-+e019 \\u\xff'))
        raw = bytes(mangled)
        assert outcome(raw, 2) == outcome_without_simdjson(raw, 2), raw
        usual += flat.read(raw, 2) is not None
    assert 100 < usual < 1_900


def test_a_failed_answer_does_not_spoil_the_next_one() -> None:
    with pytest.raises(OllamaAnswerError) as held:
        decode(b'{"embeddings":[[1,0],[1]]}', 2, AT)
    assert decode(body(UNIT), 2, AT).dead == ()
    assert held.value
