"""What was found in, an answer that rests on it out."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from ingestion_assets.retrieval.chat import Chat
from ingestion_assets.retrieval.citations import Citations
from ingestion_assets.retrieval.prompt import NOT_FOUND, Prompt, build, visible
from ingestion_assets.retrieval.results import Hit

NOTHING = "Not found in the documents."
# Cosine similarity of question and best passage below which there is no answer; measured, see
# docs/api.md. Models differ too much for a threshold that fits them all.
THRESHOLDS = {"all-minilm": 0.25}
_AROUND = " \n.\"'`*"  # what models put around a single word


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that the answer cites, and the number it is cited by."""

    number: int
    hit: Hit


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said of the passages.

    Attributes:
        text: plain text with citations like [1]; never to be taken for HTML.
        found: whether the documents hold an answer.
        sources: the passages cited, in the order of their first mention.
        passages: how many the model was shown.
        cut: passages that were shortened or left out for their length.
    """

    text: str
    found: bool
    sources: tuple[Source, ...] = ()
    passages: int = 0
    cut: int = 0


def threshold(model: str, chosen: float | None) -> float:
    """The similarity that the best passage must have: as chosen, or as measured for a model."""
    return THRESHOLDS.get(model.removesuffix(":latest"), 0.0) if chosen is None else chosen


async def answer(
    chat: Chat, question: str, hits: Sequence[Hit], *, least: float = 0.0
) -> AsyncGenerator[str | Answer, None]:
    """The answer's text piece by piece, and last of all the answer.

    Args:
        hits: best first.
        least: cosine similarity below which the best hit is taken for no hit; the model is not
            asked then.

    Raises:
        ModelError: the chat model cannot be used.
        OllamaError: the server fails, before or after the first piece.
    """
    if not _promising(hits, least):
        yield NOTHING
        yield Answer(NOTHING, found=False)
        return
    prompt = build(question, hits)
    citations = Citations(len(prompt.passages))
    said: list[str] = []
    async with aclosing(_not_only(NOT_FOUND, chat.stream(prompt.system, prompt.user))) as pieces:
        async for piece in pieces:
            if shown := citations.feed(visible(piece)):
                said.append(shown)
                yield shown
    if rest := citations.end():
        said.append(rest)
        yield rest
    if not said:
        yield NOTHING
    yield _summed_up("".join(said), citations, prompt)


def _promising(hits: Sequence[Hit], least: float) -> bool:
    """Whether any hit is near enough; one that only its words found has no distance."""
    return any(hit.distance is None or 1 - hit.distance >= least for hit in hits)


async def _not_only(marker: str, pieces: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The pieces as they are, unless they are the marker and nothing else."""
    held: str | None = ""
    async with aclosing(pieces):
        async for piece in pieces:
            if held is None:
                yield piece
                continue
            held += piece
            if not marker.startswith(held.strip(_AROUND)):
                yield held.lstrip()
                held = None
    if held and held.strip(_AROUND) not in ("", marker):
        yield held


def _summed_up(text: str, citations: Citations, prompt: Prompt) -> Answer:
    cut, shown = prompt.cut, len(prompt.passages)
    if not text.strip():
        return Answer(NOTHING, found=False, passages=shown, cut=cut)
    sources = tuple(Source(n, prompt.passages[n - 1]) for n in citations.cited)
    return Answer(text.strip(), True, sources, shown, cut)
