"""What a search found, and how it was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found.

    Attributes:
        score: by which hits are ordered, larger is better: cosine similarity of a vector search,
            BM25 of a text search, reciprocal ranks of a hybrid one. Compare it within one
            answer only.
        heading: the path of headings above the text.
        start_offset: of the text in its document, in characters.
        end_offset: after the text's last character.
        metadata: the document's, without the offsets of its pages.
        distance: cosine distance to the question, 0 to 2; none if its vector was not compared.
        embedded: whether the chunk has a vector yet; words are found before.
        vector_rank: its place by meaning, from 1; none if it has none.
        text_rank: its place by words, from 1; none if it has none.
        retrieved_rank: its place before reranking, from 1.
        generation: whose vector it has, the one for all hits of an answer; none before the first.
        rerank_score: by which it was reordered; none if it was not.
        page: that its text begins on, from 1; none if the document has no pages.
    """

    score: float
    chunk_id: UUID
    document_id: UUID
    source: str
    uri: str
    title: str
    heading: str
    text: str
    start_offset: int
    end_offset: int
    metadata: Mapping[str, Any]
    distance: float | None
    embedded: bool
    vector_rank: int | None
    text_rank: int | None
    retrieved_rank: int
    generation: int | None
    rerank_score: float | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """The answer to one search.

    Attributes:
        hits: best first; ties in the order of their ids.
        method: the one used: text instead of hybrid where no question can be embedded.
        mode: the one used, exact or approx.
        generation_id: whose vectors were searched, all of them; none if none is active.
        degraded: what could not be done as asked, each `part: reason`.
        timings: milliseconds of each step: embed, search, rerank, total.
    """

    hits: list[Hit]
    method: str
    mode: str
    generation_id: int | None
    degraded: tuple[str, ...]
    timings: Mapping[str, float]
