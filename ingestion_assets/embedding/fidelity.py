"""A server in, its vectors for texts of many kinds out: alone and in one list."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding.identity import Identity
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.errors import OllamaAnswerError, OllamaError

# What a server may get wrong that gets others right: the tokenizer, the mask, the order of a list.
TEXTS = (
    "Yes.",
    "The quick brown fox jumps over the lazy dog.",
    "How do I give a colleague access to the shared calendar?",
    "In 2024 the plant made 1,284,503 units, 7.25 % more than the 1,197,672 of 2023.",
    "def mean(xs: list[float]) -> float:\n    return sum(xs) / len(xs) if xs else 0.0\n",
    '{"id": 17, "tags": ["a", "b"], "price": 9.99, "stock": null}',
    "Größe, Übermaß und Straßenbahn: die Prüfung erfolgt jährlich.",
    "データベースに保存された文書を検索します。",
    "Документы хранятся в базе данных и обновляются каждую ночь.",
    "يتم تخزين المستندات في قاعدة البيانات.",
    "Shipped 🚀 and well 👍🏽, 10/10, would deploy again 🎉",
    "A backup that was never restored is a hope. " * 16,
)
NAME = blake2b("\0".join(TEXTS).encode(), digest_size=16).digest()  # of the texts


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server gave for n texts; float32, shape (n, d) each.

    Attributes:
        alone: each text was sent in a request of its own.
        listed: all were sent in one.
    """

    url: str
    digest: str
    server_version: str
    alone: NDArray[np.float32]
    listed: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Silence:
    """A server that gave nothing, and why."""

    url: str
    why: str


async def probe(ollama: Ollama, model: Identity, prefix: str) -> Probe | Silence:
    """Have a server embed the texts; a failure is an answer too.

    Args:
        prefix: goes before every text, as before those that are stored.
    """
    texts = [prefix + text for text in TEXTS]
    try:
        digest, version = await ollama.digest(model.model), await ollama.version()
        listed = await _embed(ollama, model, texts)
        alone = [await _embed(ollama, model, [text]) for text in texts]
    except OllamaError as error:
        return Silence(ollama.base_url, f"{type(error).__name__}: {error}")
    return Probe(ollama.base_url, digest, version, np.concatenate(alone), listed)


async def probes(ollamas: Sequence[Ollama], model: Identity, prefix: str) -> list[Probe | Silence]:
    """Have all servers embed the texts, at once."""
    return list(await asyncio.gather(*(probe(ollama, model, prefix) for ollama in ollamas)))


async def _embed(ollama: Ollama, model: Identity, texts: Sequence[str]) -> NDArray[np.float32]:
    answer = await ollama.embed(
        model.model, texts, options=model.options, dimensions=model.dimensions
    )
    if answer.dead:
        raise OllamaAnswerError(
            ollama.base_url, f"{model.model!r} gives dead vectors; unload it with `ollama stop`"
        )
    return answer.matrix
