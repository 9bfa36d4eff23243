"""A partition in, the streams that fill it in every generation out, the one searched first."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ingestion_assets.defs.resources import OllamaResource, StoreResource
from ingestion_assets.embedding import EmbeddingStream
from ingestion_assets.errors import ModelError
from ingestion_assets.retrieval.promotion import promote
from ingestion_assets.retrieval.recipes import as_made, recipe
from ingestion_assets.store import claims, embeddings
from ingestion_assets.store.generations import Generation, Plan, filled
from ingestion_assets.store.generations.activation import Standing
from ingestion_assets.store.generations.opening import heeds, open_wanted
from ingestion_assets.store.index import rule

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filling:
    """Vectors on their way into a generation."""

    generation: Generation
    stream: EmbeddingStream


@dataclass(frozen=True, slots=True)
class Fillings:
    """What a run embeds of a partition.

    Attributes:
        refused: why one of the generations cannot be filled; to be raised when the others are.
        complete: takes a building generation further, once its partition is filled.
    """

    parts: Sequence[Filling]
    refused: ModelError | None
    complete: Callable[[Generation], Standing]

    @property
    def searched(self) -> Generation | None:
        """The generation that search reads, if it can be filled."""
        generations = (part.generation for part in self.parts)
        return next((g for g in generations if g.status == "active"), None)

    def finish(self) -> None:
        """Complete what is to become active, once all parts are stored.

        Raises:
            ModelError: a generation could not be filled.
        """
        for part in self.parts:
            if part.generation.status == "building":
                self.complete(part.generation)
        if self.refused is not None:
            raise self.refused


def fillings(
    store: StoreResource,
    ollama: OllamaResource,
    partition_key: str,
    *,
    only_failed: bool,
    again: bool,
) -> Fillings:
    """Streams for all generations that texts go to; nothing is sent before they are iterated over.

    Args:
        only_failed: what failed before, and no others.
        again: embed every text, whatever is stored of it.

    Raises:
        OllamaError: no server has a model that can be used.
    """
    parts: list[Filling] = []
    refused: dict[int, ModelError] = {}
    generations = wanted(store, ollama)
    for generation in generations:
        behind = generation.status != "active"
        try:
            named = ollama.identify(generation.model, behind=behind)
            model = as_made(named, generation, ", ".join(ollama.hosts) or "Ollama")
        except ModelError as exc:
            refused[generation.generation_id] = exc
            continue
        if again and generation.status != "retired":
            store.call(embeddings.outdate, generation, partition_key)
        if generation.status == "active":
            _make_way(store, generation)
        pages = claims.pages(store.connect, generation, partition_key, only_failed=only_failed)
        parts.append(Filling(generation, ollama.stream(model, pages, behind=behind)))
    complete = partial(_complete, store, ollama)
    return Fillings(parts, _worst(generations, refused), complete)


def wanted(store: StoreResource, ollama: OllamaResource) -> Sequence[Generation]:
    """The generations that texts go to; one of the settings' model too, if it is a new one."""
    if store.call(heeds, ollama.model):
        found = recipe(ollama.identify())
        store.call(open_wanted, found, Plan(grace_days=store.grace_days))
    return store.call(filled)


def _make_way(store: StoreResource, generation: Generation) -> None:
    waiting = store.call(rule.make_way, generation)
    if waiting:
        logger.warning(
            "The approximate index is dropped for a load of %d texts or more: searches are exact"
            " until vector_index builds it again",
            waiting,
        )


def _worst(generations: Sequence[Generation], refused: dict[int, ModelError]) -> ModelError | None:
    """The refusal that an operator has to know of.

    Not that of a retired generation, which can only not be gone back to; nor that of the active
    one where its model was pulled anew, and a generation of that one is being filled.
    """
    successors = {g.model for g in generations if g.generation_id not in refused}
    for generation in generations:
        error = refused.get(generation.generation_id)
        if error is None:
            continue
        if generation.status == "retired" or generation.model in successors:
            logger.warning("Generation %d is left as it is: %s", generation.generation_id, error)
            continue
        return error
    return None


def _complete(store: StoreResource, ollama: OllamaResource, generation: Generation) -> Standing:
    return ollama.run(promote(store.url(), generation, ollama.client))
