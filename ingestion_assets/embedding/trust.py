"""A text of known vector among others in, answers that may be stored out."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding.answers import Answer
from ingestion_assets.embedding.canary import CANARY, SAME
from ingestion_assets.errors import MixedVectorsError

EVERY = 1024  # texts between two checks: a tenth of a per cent of a server's work
SECONDS = 20.0  # between two checks of a slow server


class Probation:
    """What a server answered since it was last checked, waiting to be let go.

    Attributes:
        over: nothing has to wait any more.
        held: what to call when it ends well.
    """

    def __init__(self, *, over: bool = False) -> None:
        self.over = over
        self.held: list[Callable[[], None]] = []

    def hold(self, let_go: Callable[[], None]) -> None:
        """Have it called when the probation ends well; at once if it has."""
        if self.over:
            let_go()
        else:
            self.held.append(let_go)

    def end(self) -> None:
        """Let all go."""
        self.over = True
        held, self.held = self.held, []
        for let_go in held:
            let_go()


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and what holds it until it may be stored."""

    answer: Answer
    probation: Probation


class Trust:
    """Finds out whether a server gives each text of a list its own vector.

    A list that was mixed up has as many vectors as it should have, and each of them is sound. So
    now and then, and in the first list, a text of known vector travels at a random position, and
    what is answered in between waits until that text has got its own. Hence of a server that mixes
    its lists up from some moment on, nothing is stored; one that cannot be asked any more is
    believed. One list mixed up among good ones is noticed only if the known text was in it: one
    list in `every / its texts`. Vectors that changed places without the known one never are.

    Args:
        url: of the server, for the message.
        every: texts between two checks.
        seconds: between two checks, if that is sooner.
        position: of the known text among n others, from 0 to n.
    """

    def __init__(
        self,
        url: str,
        *,
        every: int = EVERY,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        position: Callable[[int], int] | None = None,
    ) -> None:
        self._url = url
        self._every, self._seconds = every, seconds
        self._clock, self._position = clock, position or _anywhere
        self._known: NDArray[np.float32] | None = None
        self._texts = every
        self._due_at = 0.0
        self._probation = Probation()
        self._broken = False

    @property
    def pending(self) -> bool:
        """Whether answers wait for a check."""
        return bool(self._probation.held) and not self._broken

    def learn(self, vector: NDArray[np.float32]) -> None:
        """Begin, or begin again: the known text's vector; the next list is checked."""
        self._known = vector
        self._texts = self._every

    def place(self, texts: int) -> int | None:
        """Where in a list of n texts the known one shall travel; none if it shall not."""
        if self._known is None or texts < 2:
            return None
        self._texts += texts
        if self._texts <= self._every and self._clock() < self._due_at:
            return None
        self._texts, self._due_at = 0, self._clock() + self._seconds
        return self._position(texts)

    def judge(self, answer: Answer, place: int | None) -> Answered:
        """The answer without the known text, whose vector decides on all that waits.

        Raises:
            MixedVectorsError: it is another text's; nothing that waits will ever be let go.
        """
        if place is None:
            free = self._known is None or len(answer.matrix) < 2
            return Answered(answer, Probation(over=True) if free else self._probation)
        if place in answer.dead:
            return Answered(_without(answer, place), self._probation)
        self._compare(answer.matrix[place])
        self.release()
        return Answered(_without(answer, place), Probation(over=not self._broken))

    def release(self) -> None:
        """Let go what waits, unless the trust is broken: it was checked, or no longer can be."""
        if not self._broken:
            ended, self._probation = self._probation, Probation()
            ended.end()

    def lost(self) -> int:
        """Answers since the last time it was asked that will never be let go."""
        if not self._broken:
            return 0
        lost, self._probation.held = len(self._probation.held), []
        return lost

    def _compare(self, vector: NDArray[np.float32]) -> None:
        cosine = float(vector @ self._known) if self._known is not None else 0.0
        if self._broken or cosine >= SAME:
            return
        self._broken = True
        raise MixedVectorsError(
            self._url,
            f"vectors of a list are mixed up: a known text got another's (cosine {cosine:.3f});"
            " use another version of Ollama, or INGEST_BATCH_SIZE=1",
        )


def among(texts: Sequence[str], place: int | None) -> Sequence[str]:
    """The texts with the known one at its place, if it has one."""
    return texts if place is None else [*texts[:place], CANARY, *texts[place:]]


def _anywhere(n: int) -> int:
    """Any position but the middle one, where it would not show that a list is reversed."""
    place = random.randrange(n)
    return place if 2 * place < n else place + 1


def _without(answer: Answer, place: int) -> Answer:
    return replace(
        answer,
        matrix=np.delete(answer.matrix, place, axis=0),
        dead=tuple(row - (row > place) for row in answer.dead if row != place),
    )
