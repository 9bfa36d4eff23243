"""An answer rests on passages, cites them, or says that there is none."""

from collections.abc import AsyncGenerator, Sequence

import pytest

from ingestion_assets.retrieval.answer import NOTHING, Answer, answer, threshold
from ingestion_assets.retrieval.chat import Chat
from ingestion_assets_tests.retrieval.given import hit

HITS = [hit("Blue whales eat krill."), hit("Whales sing."), hit("Bread rises.")]


class Speaker(Chat):
    """A chat model that says given words."""

    def __init__(self, *words: str) -> None:
        super().__init__([], "m")
        self.asked = 0
        self._words = words

    async def stream(self, system: str, user: str) -> AsyncGenerator[str, None]:
        self.asked += 1
        for word in self._words:
            yield word


async def _answered(
    speaker: Chat, hits: Sequence[object] = HITS, least: float = 0.0
) -> tuple[str, Answer]:
    said = [piece async for piece in answer(speaker, "q", hits, least=least)]  # type: ignore[arg-type]
    last = said.pop()
    assert isinstance(last, Answer)
    return "".join(str(piece) for piece in said), last


async def test_cited_passages_are_the_sources():
    shown, said = await _answered(Speaker("Krill [1", "], they sing [2][9]", "."))
    assert shown == said.text == "Krill [1], they sing [2]."
    assert [(source.number, source.hit) for source in said.sources] == [(1, HITS[0]), (2, HITS[1])]
    assert said.found
    assert said.passages == 3


async def test_a_citation_at_the_very_end_is_counted():
    _, said = await _answered(Speaker("Krill ", "[", "1", "]"))
    assert said.text == "Krill [1]"
    assert [source.number for source in said.sources] == [1]


@pytest.mark.parametrize(
    "words", [("NOT_FOUND",), ("NOT", "_FOUND", "."), (" **NOT_FOUND**\n",), (), ("", " ")]
)
async def test_marker_or_silence_means_not_found(words):
    shown, said = await _answered(Speaker(*words))
    assert (shown, said.text, said.found, said.sources) == (NOTHING, NOTHING, False, ())


@pytest.mark.parametrize("words", [("NOT_FOUND is code", " 5 [1]"), ("N", "O, they sing [2]")])
async def test_words_like_the_marker_are_an_answer(words):
    shown, said = await _answered(Speaker(*words))
    assert said.found
    assert shown == "".join(words)


async def test_far_passages_are_not_even_shown_to_the_model():
    speaker = Speaker("Krill [1].")
    far = [hit("x", distance=0.9), hit("y", distance=0.95)]
    assert (await _answered(speaker, far, least=0.25))[1].found is False
    assert speaker.asked == 0
    assert (await _answered(speaker, [*far, hit("z", distance=0.7)], least=0.25))[1].found


async def test_no_hits_are_not_found():
    assert (await _answered(Speaker("x"), []))[1] == Answer(NOTHING, found=False)


async def test_what_only_its_words_found_has_no_distance_to_fail_by():
    assert (await _answered(Speaker("Yes [1]."), [hit("x", distance=None)], least=0.9))[1].found


async def test_control_characters_of_the_model_are_dropped():
    shown, said = await _answered(Speaker("a\x1b[2J", "b\u202ec\x00", "\n<b>d</b>"))
    assert shown == said.text == "a[2Jbc\n<b>d</b>"


async def test_cut_passages_are_counted():
    assert (await _answered(Speaker("x"), [hit("y" * 9_000)]))[1].cut == 1


def test_threshold_is_chosen_or_measured():
    assert threshold("all-minilm", 0.5) == 0.5
    assert threshold("all-minilm:latest", None) == threshold("all-minilm", None) > 0
    assert threshold("unknown", None) == 0
