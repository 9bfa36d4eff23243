"""What may be asked: requests in, searches out; the OpenAPI document is made from these."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from ingestion_assets.retrieval.request import (
    MAX_K,
    MAX_TEXT,
    Filters,
    Method,
    Mode,
    Rerank,
    Search,
)

NAME_LENGTH = 1_000  # characters

Query = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH)]
Moment = Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]


def _without_nan(given: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Numbers that Python knows and JSON does not are refused."""
    json.dumps(given, allow_nan=False)
    return given


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_without_nan)]


class Asked(BaseModel):
    """The base of requests: what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class FilterFields(Asked):
    """Only what fits all of these is searched."""

    source: Name | None = None
    domain: Name | None = None
    category: Name | None = None
    uri_prefix: Name | None = None
    modified_after: Moment | None = None
    modified_before: Moment | None = None


class QueryFilters(FilterFields):
    """Filters of POST /api/query."""

    metadata: Metadata = Field(
        default_factory=dict, description="What the document's metadata has to contain."
    )


class SearchFields(Asked):
    """How to search."""

    k: int = Field(10, ge=1, le=MAX_K, description="Passages at most.")
    method: Method = "hybrid"
    mode: Mode = "auto"
    rerank: Rerank = "none"


class SearchRequest(SearchFields, FilterFields):
    """The parameters of GET /api/search."""

    q: Query = Field(description="What to look for.")

    def search(self) -> Search:
        """The search that is asked for."""
        return _search(self.q, self, self.model_dump(include=set(FilterFields.model_fields)))


class QueryRequest(SearchFields):
    """The body of POST /api/query."""

    query: Query = Field(description="What to look for, or the question to answer.")
    filters: QueryFilters = QueryFilters()
    answer: bool = Field(False, description="Have the chat model answer from the passages.")
    stream: bool = Field(False, description="Send the answer as it comes, as NDJSON.")

    @model_validator(mode="after")
    def _streams_answers_only(self) -> Self:
        if self.stream and not self.answer:
            raise ValueError("stream needs answer: only answers come piece by piece")
        return self

    def search(self) -> Search:
        """The search that is asked for."""
        return _search(self.query, self, self.filters.model_dump())


def _search(text: str, how: SearchFields, filters: dict[str, Any]) -> Search:
    return Search(
        text=text,
        k=how.k,
        method=how.method,
        mode=how.mode,
        rerank=how.rerank,
        filters=Filters(**filters),
    )
