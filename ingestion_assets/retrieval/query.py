"""A question in, its vector out, made the way the generation's vectors were."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ingestion_assets import tracing
from ingestion_assets.embedding.answers import Answer
from ingestion_assets.errors import ModelMismatchError, OllamaAnswerError, TextTooLongError
from ingestion_assets.store.generations import Generation

CACHED = 1000  # questions

_Key = tuple[int, str]


class Embeds(Protocol):
    """An Ollama, or several that act as one."""

    @property
    def base_url(self) -> str: ...

    async def digest(self, model: str) -> str: ...

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        options: Mapping[str, Any] | None = None,
        truncate: bool = False,
        dimensions: int | None = None,
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Question:
    """A question's vector.

    Attributes:
        vector: shape (d,), float32, of unit length.
        cut: whether it is of the question's beginning, since all is over the model's context.
    """

    vector: NDArray[np.float32]
    cut: bool


class QueryEmbedder:
    """Embeds questions; one asked before, or at the same time, is embedded once.

    Args:
        ollama: an open client.
        cached: questions whose vectors are kept, those asked last.
    """

    def __init__(self, ollama: Embeds, *, cached: int = CACHED) -> None:
        self._ollama = ollama
        self._cached = cached
        self._vectors: OrderedDict[_Key, Question] = OrderedDict()
        self._flying: dict[_Key, asyncio.Task[Question]] = {}
        self._checked: set[int] = set()

    async def embed(self, generation: Generation, text: str) -> Question:
        """The vector of a question, by the generation's model, options and query prefix.

        Raises:
            ModelMismatchError: the server has another model of that name.
            OllamaError: everything else that can go wrong, typed.
        """
        key = generation.generation_id, text
        if key in self._vectors:
            self._vectors.move_to_end(key)
            return self._vectors[key]
        task = self._flying.get(key) or self._start(generation, text, key)
        # Whoever asked first may leave; those who wait for the same vector stay.
        return await asyncio.shield(task)

    def _start(self, generation: Generation, text: str, key: _Key) -> asyncio.Task[Question]:
        task = asyncio.create_task(self._ask(generation, text))
        self._flying[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def _landed(self, key: _Key, task: asyncio.Task[Question]) -> None:
        del self._flying[key]
        if task.cancelled() or task.exception() is not None:
            return
        self._vectors[key] = task.result()
        if len(self._vectors) > self._cached:
            self._vectors.popitem(last=False)

    async def _ask(self, generation: Generation, text: str) -> Question:
        with tracing.span("embed query", {"ingestion.model": generation.model}):
            return await self._asked(generation, text)

    async def _asked(self, generation: Generation, text: str) -> Question:
        if generation.generation_id not in self._checked:
            await check_model(self._ollama, generation)
            self._checked.add(generation.generation_id)
        prefixed = generation.query_prefix + text
        try:
            return Question(await self._vector(generation, prefixed, truncate=False), cut=False)
        except TextTooLongError:
            return Question(await self._vector(generation, prefixed, truncate=True), cut=True)

    async def _vector(
        self, generation: Generation, text: str, *, truncate: bool
    ) -> NDArray[np.float32]:
        answer = await self._ollama.embed(
            generation.model,
            [text],
            options=generation.options,
            truncate=truncate,
            dimensions=generation.asked_dimensions,
        )
        if answer.dead:
            raise OllamaAnswerError(self._ollama.base_url, "a dead vector for the question")
        vector: NDArray[np.float32] = answer.matrix[0]
        if len(vector) != generation.dimensions:
            raise OllamaAnswerError(
                self._ollama.base_url,
                f"{generation.model!r} gives {len(vector)} dimensions where"
                f" {generation.dimensions} are stored; embed again: ingest reembed",
            )
        return vector


async def check_model(ollama: Embeds, generation: Generation) -> None:
    """Check that the server has the very model that the generation was made with.

    Raises:
        ModelMismatchError: it has another one of the same name; scores would be meaningless.
    """
    digest = await ollama.digest(generation.model)
    if digest != generation.digest:
        raise ModelMismatchError(
            ollama.base_url,
            generation.model,
            f"{generation.model!r} is {digest[:12]} here, but what is stored was made with"
            f" {generation.digest[:12]}; search with that server, or embed again: ingest reembed",
        )
