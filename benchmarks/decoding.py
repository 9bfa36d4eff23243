"""Ways to decode an answer to a float32 matrix, with the checks kept: CPU per 1,000 vectors.

uv run --no-sync --with msgspec python benchmarks/decoding.py
"""

import argparse
import base64
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ingestion_assets.embedding.answers import decode
from ingestion_assets_tests.services.faulty_ollama import Vectors

Matrix = NDArray[np.float32]
Ways = dict[str, tuple[bytes, Callable[[bytes, int], Matrix]]]


def main() -> None:
    arguments = _arguments()
    n = arguments.texts
    ways, wanted = _ways(n, arguments.dimensions)
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, (body, way) in ways.items():
            started = time.process_time()
            for _ in range(arguments.repeats):
                matrix = way(body, n)
            samples[name].append((time.process_time() - started) / arguments.repeats / n)
            np.testing.assert_array_equal(matrix, wanted)
    _show(ways, {name: median(times) for name, times in samples.items()}, n, arguments.dimensions)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=32, help="in an answer")
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=50, help="answers in a round")
    parser.add_argument("--rounds", type=int, default=7, help="the medians are shown")
    return parser.parse_args()


def _ways(n: int, dimensions: int) -> tuple[Ways, Matrix]:
    """Every way whose library is installed, with the body it reads; and what all must give."""
    vectors = Vectors(dimensions)
    texts = [f"text {i}" for i in range(n)]
    rows = b",".join(vectors.encode(text) for text in texts)
    numbers = b'{"model":"m","embeddings":[' + rows + b'],"prompt_eval_count":7}'
    matrix = np.stack([vectors.vector(text) for text in texts])
    packed = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in matrix]
    data = [{"object": "embedding", "embedding": row, "index": i} for i, row in enumerate(packed)]
    strings = orjson.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": 7}})
    ways: Ways = {
        "stdlib json, by hand": (numbers, _by_hand),
        "stdlib json": (numbers, lambda body, n: _checked(json.loads(body)["embeddings"], n)),
        "orjson": (numbers, lambda body, n: _checked(orjson.loads(body)["embeddings"], n)),
        **{name: (numbers, way) for name, way in _optional()},
        "decode, the product's": (numbers, lambda body, n: decode(body, n, "bench").matrix),
        "base64, /v1/embeddings": (strings, _base64),
    }
    return ways, matrix


def _optional() -> Iterator[tuple[str, Callable[[bytes, int], Matrix]]]:
    for name, way in (("msgspec", _msgspec), ("simdjson", _simdjson)):
        try:
            library = import_module(name)
        except ImportError:
            print(f"{name} is not installed and so not measured")
        else:
            yield name, way(library)


def _msgspec(msgspec: Any) -> Callable[[bytes, int], Matrix]:
    answer = msgspec.defstruct("Answer", [("embeddings", list[list[float]])])
    decoder = msgspec.json.Decoder(answer)
    return lambda body, n: _checked(decoder.decode(body).embeddings, n)


def _simdjson(simdjson: Any) -> Callable[[bytes, int], Matrix]:
    parser = simdjson.Parser()

    def way(body: bytes, n: int) -> Matrix:
        rows = parser.parse(body)["embeddings"]
        # One buffer for all rows would lose where each of them ends, and so their equal length.
        arrays = [np.frombuffer(row.as_buffer(of_type="d")) for row in rows]
        return _checked(arrays, n)

    return way


def _base64(body: bytes, n: int) -> Matrix:
    data = orjson.loads(body)["data"]
    return _checked([np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in data], n)


def _by_hand(body: bytes, n: int) -> Matrix:
    """What is written without a thought: every number is looked at in Python."""
    rows = json.loads(body)["embeddings"]
    if len(rows) != n or len({len(row) for row in rows}) != 1:
        raise ValueError("rows are missing or of unequal length")
    for row in rows:
        if not all(map(math.isfinite, row)) or math.sqrt(sum(x * x for x in row)) < 0.5:
            raise ValueError("a dead vector")
    return np.array(rows, dtype=np.float32)


def _checked(rows: list[Any], n: int) -> Matrix:
    """The product's checks: count, equal length, finite, norm."""
    if len(rows) != n:
        raise ValueError(f"{len(rows)} rows for {n} texts")
    matrix = np.asarray(rows, dtype=np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    if not (np.isfinite(norms) & (norms > 0.5)).all():
        raise ValueError("a dead vector")
    return matrix


def _show(ways: Ways, found: dict[str, float], n: int, dimensions: int) -> None:
    print(f"{n} x {dimensions}, load {os.getloadavg()[0]:.1f}")
    print(f"{'':24}{'kB/vector':>10}{'ms/1,000':>10}{'to orjson':>10}")
    for name, seconds in found.items():
        size = len(ways[name][0]) / n / 1e3
        print(f"{name:24}{size:10.1f}{1e6 * seconds:10.1f}{found['orjson'] / seconds:10.2f}")


if __name__ == "__main__":
    main()
