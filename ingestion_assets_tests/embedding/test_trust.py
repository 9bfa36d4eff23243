from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.canary import CANARY
from ingestion_assets.embedding.trust import Trust, among
from ingestion_assets.errors import MixedVectorsError

KNOWN = [1.0, 0.0]
OTHER = [0.0, 1.0]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def answer(*rows: Sequence[float], dead: tuple[int, ...] = ()) -> Answer:
    return Answer(np.array(rows, np.float32), dead, 0, 0.0, 0.0)


def trusting(*, every: int = 100, clock: Clock | None = None) -> Trust:
    trust = Trust("gpu1", every=every, seconds=20, clock=clock or Clock(), position=lambda n: n)
    trust.learn(np.array(KNOWN, np.float32))
    return trust


def judged(trust: Trust, *rows: Sequence[float]) -> list[str]:
    """What is kept of an answer to the rows that were asked for, a known one after them if due."""
    kept: list[str] = []
    asked = [*rows]
    place = trust.place(len(asked))
    if place is not None:
        asked.insert(place, KNOWN)
    trust.judge(answer(*asked), place).probation.hold(partial(kept.append, "kept"))
    return kept


def test_the_first_list_is_checked_and_kept_at_once() -> None:
    trust = trusting()
    assert judged(trust, OTHER, OTHER) == ["kept"]
    assert not trust.pending


def test_what_follows_is_held_until_the_next_check() -> None:
    trust = trusting(every=4)
    judged(trust, OTHER, OTHER)
    held = [judged(trust, OTHER, OTHER), judged(trust, OTHER, OTHER)]
    assert held == [[], []]
    assert trust.pending
    assert judged(trust, OTHER, OTHER) == ["kept"]
    assert held == [["kept"], ["kept"]]


def test_a_check_is_due_after_a_while_too() -> None:
    clock = Clock()
    trust = trusting(clock=clock)
    judged(trust, OTHER, OTHER)
    assert trust.place(2) is None
    clock.now = 20
    assert trust.place(2) == 2


def test_a_single_text_needs_no_check() -> None:
    trust = trusting()
    assert trust.place(1) is None
    assert judged(trust, OTHER) == ["kept"]


def test_nothing_is_held_before_a_vector_is_known() -> None:
    trust = Trust("gpu1")
    assert trust.place(64) is None
    assert judged(trust, OTHER, OTHER) == ["kept"]


def test_another_ones_vector_loses_what_was_held_and_what_comes_later() -> None:
    trust = trusting(every=4)
    judged(trust, OTHER, OTHER)
    held = judged(trust, OTHER, OTHER)
    with pytest.raises(MixedVectorsError, match=r"gpu1.*mixed up"):
        trust.judge(answer(KNOWN, OTHER, OTHER), 2)
    later = judged(trust, OTHER, OTHER)
    trust.release()
    assert (held, later) == ([], [])
    assert (trust.lost(), trust.lost()) == (2, 0)
    assert not trust.pending


def test_a_dead_vector_of_the_known_text_proves_nothing() -> None:
    trust = trusting()
    kept: list[str] = []
    place = trust.place(2)
    sent = trust.judge(answer(OTHER, [0.0, 0.0], [0.0, 0.0], dead=(1, 2)), place)
    sent.probation.hold(partial(kept.append, "kept"))
    assert (kept, sent.answer.dead, sent.answer.matrix.shape) == ([], (1,), (2, 2))


def test_the_known_text_leaves_no_trace_in_the_answer() -> None:
    trust = trusting()
    sent = trust.judge(answer(OTHER, KNOWN, [0.0, 0.0], dead=(2,)), 1)
    assert sent.answer.matrix.tolist() == [OTHER, [0.0, 0.0]]
    assert sent.answer.dead == (1,)
    assert among(["a", "b"], 1) == ["a", CANARY, "b"]
    assert among(["a", "b"], None) == ["a", "b"]


@pytest.mark.parametrize("n", range(2, 12))
def test_a_reversed_list_never_looks_right(n: int) -> None:
    trust = Trust("gpu1", every=0)
    trust.learn(np.array(KNOWN, np.float32))
    places = {trust.place(n) for _ in range(200)}
    assert places == {place for place in range(n + 1) if 2 * place != n} - (
        {(n + 1) // 2} if n % 2 else set()
    )


def test_a_server_that_is_gone_is_believed() -> None:
    trust = trusting()
    judged(trust, OTHER, OTHER)
    held = judged(trust, OTHER, OTHER)
    trust.release()
    assert held == ["kept"]
