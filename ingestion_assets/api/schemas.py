"""What is answered; the OpenAPI document is made from these."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Told(BaseModel):
    """The base of answers."""

    model_config = ConfigDict(from_attributes=True)


class Passage(Told):
    """A chunk that was found."""

    chunk_id: UUID
    document_id: UUID
    source: str
    uri: str
    title: str
    heading: str
    text: str
    start_offset: int
    end_offset: int
    page: int | None = Field(description="That it begins on, from 1, if the document has pages.")
    score: float = Field(description="By which the passages are ordered; higher is better.")
    distance: float | None = Field(description="Cosine distance to the query's vector, if known.")
    embedded: bool = Field(description="False while the chunk waits for its vector.")
    generation: int | None = Field(description="Whose vectors were compared.")
    vector_rank: int | None = Field(description="Its place by meaning, from 1.")
    text_rank: int | None = Field(description="Its place by words, from 1.")
    rerank_score: float | None = Field(description="By which it was reordered, if it was.")
    metadata: dict[str, Any] = Field(description="The document's metadata.")


class Found(Told):
    """How the search went."""

    method: str = Field(description="The one that was used.")
    mode: str = Field(description="The one that was used.")
    generation: int | None = Field(description="Whose vectors were searched.")
    degraded: list[str] = Field(description="What is missing from this answer, and why.")
    timings: dict[str, float] = Field(description="Milliseconds.")


class SearchResponse(Found):
    """The answer of GET /api/search."""

    hits: list[Passage]


class PassageMetadata(Told):
    """Where a passage is from."""

    chunk_id: UUID
    document_id: UUID
    source: str
    uri: str
    title: str
    heading: str
    start_offset: int
    end_offset: int
    page: int | None
    embedded: bool
    generation: int | None
    vector_rank: int | None
    text_rank: int | None
    rerank_score: float | None
    metadata: dict[str, Any]


class Cited(Told):
    """A passage that the answer cites by its number in brackets."""

    number: int
    chunk_id: UUID
    document_id: UUID
    source: str
    uri: str
    title: str
    page: int | None


class AnswerFields(Told):
    """What the chat model said of the passages."""

    answer: str | None = Field(None, description="Plain text; none if none was asked for.")
    found: bool | None = Field(None, description="Whether the documents hold an answer.")
    citations: list[Cited] = []
    cut: int = Field(0, description="Passages shortened or left out for the model's context.")


class QueryResponse(AnswerFields, Found):
    """The answer of POST /api/query; entry i of each list belongs to passage i."""

    documents: list[str]
    metadatas: list[PassageMetadata]
    distances: list[float | None]
    scores: list[float]


class Failure(Told):
    """Whatever went wrong."""

    error: str = Field(description="Short and stable.")
    detail: str = Field(description="What, and the remedy.")


class ResultsLine(QueryResponse):
    """The first line of a streamed answer: everything but the answer."""

    type: Literal["results"] = "results"


class TokenLine(Told):
    """A piece of the answer."""

    type: Literal["token"] = "token"
    text: str


class AnswerLine(AnswerFields):
    """The last line: the whole answer, and what it cites."""

    type: Literal["answer"] = "answer"
    timings: dict[str, float]


class ErrorLine(Failure):
    """The last line of an answer that broke off."""

    type: Literal["error"] = "error"


class DatabaseHealth(Told):
    """Whether Postgres answers."""

    status: Literal["up", "down"]
    detail: str = ""


class OllamaHealth(Told):
    """Whether an Ollama server answers, and whether questions are sent to it."""

    url: str
    status: Literal["up", "down"]
    breaker: Literal["closed", "open", "half-open"]
    detail: str = ""


class GenerationHealth(Told):
    """The vectors that are searched."""

    generation_id: int
    model: str
    dimensions: int


class Health(Told):
    """The answer of GET /health."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    database: DatabaseHealth
    ollama: list[OllamaHealth]
    generation: GenerationHealth | None


class Alive(Told):
    """The answer of GET /health/live."""

    status: Literal["alive"] = "alive"


class Ready(Told):
    """The answer of GET /health/ready."""

    status: Literal["ready"] = "ready"


class DatabasePool(Told):
    """Connections to Postgres."""

    size: int
    available: int
    in_use: int
    waiting: int = Field(description="Requests that wait for a connection.")
    minimum: int
    maximum: int


class HttpPool(Told):
    """Requests to Ollama."""

    in_flight: int
    waiting: int
    limit: int
    answering: int = Field(description="Answers being generated.")


class Pools(Told):
    """The answer of GET /api/pool/stats."""

    database: DatabasePool
    http: HttpPool
