"""Models as the servers have them in, generations as they are made out, and the other way round."""

from dataclasses import replace

from ingestion_assets.embedding import Identity, model_facts
from ingestion_assets.errors import ConfigError, ModelMismatchError
from ingestion_assets.store.generations import Generation, Recipe


def recipe(
    model: Identity,
    *,
    dimensions: int | None = None,
    halved: bool = False,
    document_prefix: str | None = None,
    query_prefix: str | None = None,
) -> Recipe:
    """How a model makes the vectors of documents and queries.

    Args:
        dimensions: to shorten them to; none leaves them as they are.
        halved: whether to store them in half precision.
        document_prefix: none means the model's own; so does query_prefix.

    Raises:
        ConfigError: the model has not so many dimensions.
    """
    if dimensions is not None and dimensions > model.dimensions:
        raise ConfigError(
            f"{model.model!r} gives {model.dimensions} dimensions, not {dimensions}; ask for fewer"
        )
    facts = model_facts(model.model)
    return Recipe(
        model=model.model,
        digest=model.digest,
        dimensions=dimensions or model.dimensions,
        document_prefix=facts.document_prefix if document_prefix is None else document_prefix,
        query_prefix=facts.query_prefix if query_prefix is None else query_prefix,
        options=model.options,
        shortened=dimensions not in (None, model.dimensions),
        halved=halved,
    )


def as_made(model: Identity, generation: Generation, where: str) -> Identity:
    """What requests for a generation are made from: its options and dimensions.

    Args:
        model: as the servers have it now.
        where: the servers, for a message.

    Raises:
        ModelMismatchError: they have another model of that name than the generation was made with.
    """
    fits = generation.shortened or model.dimensions == generation.dimensions
    if model.digest != generation.digest or not fits:
        raise ModelMismatchError(
            where,
            model.model,
            f"{model.model!r} is {model.digest[:12]} here, but generation"
            f" {generation.generation_id} was made with {generation.digest[:12]}; use a server that"
            " has that one, or embed everything again: ingest reembed",
        )
    return replace(
        model,
        options=generation.options,
        dimensions=generation.dimensions,
        shortened=generation.shortened,
    )
