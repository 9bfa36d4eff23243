"""What is known about embedding models: prefixes, dimensions, context, pooling."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """How to talk to a model. Ollama applies no prefix itself.

    Attributes:
        name: as asked for.
        query_prefix: what stands before a query.
        document_prefix: what stands before a document's text.
        dimensions: length of its vectors; none if it differs between the model's sizes.
        context: tokens it takes, special tokens included; none if unknown.
        pooling: mean, cls or last; none if unknown.
    """

    name: str
    query_prefix: str = ""
    document_prefix: str = ""
    dimensions: int | None = None
    context: int | None = None
    pooling: str | None = None


def model_facts(name: str) -> ModelFacts:
    """The facts of a model, by its name without namespace and tag.

    An unknown model gets no prefixes, and nothing is claimed about it: what it takes and gives
    is then asked of the server.
    """
    base = name.rpartition("/")[2].partition(":")[0].lower()
    return replace(_KNOWN.get(base, ModelFacts(name)), name=name)


_KNOWN = {
    facts.name: facts
    for facts in (
        ModelFacts("all-minilm", dimensions=384, context=256, pooling="mean"),
        ModelFacts(
            "nomic-embed-text",
            query_prefix="search_query: ",
            document_prefix="search_document: ",
            dimensions=768,
            context=2048,
            pooling="mean",
        ),
        ModelFacts(
            "nomic-embed-text-v2-moe",
            query_prefix="search_query: ",
            document_prefix="search_document: ",
            dimensions=768,
            context=512,
            pooling="mean",
        ),
        ModelFacts(
            "mxbai-embed-large",
            query_prefix="Represent this sentence for searching relevant passages: ",
            dimensions=1024,
            context=512,
            pooling="cls",
        ),
        ModelFacts("bge-m3", dimensions=1024, context=8192, pooling="cls"),
        ModelFacts(
            "snowflake-arctic-embed2",
            query_prefix="query: ",
            dimensions=1024,
            context=8192,
            pooling="cls",
        ),
        ModelFacts(
            "qwen3-embedding",
            query_prefix=(
                "Instruct: Given a web search query, retrieve relevant passages that answer the"
                " query\nQuery:"
            ),
            context=32768,
            pooling="last",
        ),
        ModelFacts(
            "embeddinggemma",
            query_prefix="task: search result | query: ",
            document_prefix="title: none | text: ",
            dimensions=768,
            context=2048,
            pooling="mean",
        ),
        ModelFacts("granite-embedding", context=512),
    )
}
