"""Rows and what the model gives for their texts in, whether their vectors are the model's out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.errors import AdoptionError
from ingestion_assets.store.adoption.reading import Row
from ingestion_assets.store.adoption.soundness import sound

SAME = 0.999  # cosine of two vectors of one text by one model
_MAY_DIFFER = 0.05  # of a sample: texts that were cut, or rows that were edited by hand


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a sample says.

    Attributes:
        compared: rows whose vectors were compared.
        differing: ids of those that have another vector than the model gives, worst first.
        lowest: cosine of the worst row; 1 if nothing was compared.
        unanswered: ids of rows whose text the model does not take.
    """

    compared: int
    differing: Sequence[str]
    lowest: float
    unanswered: Sequence[str]

    def insist(self, model: str, remark: str = "") -> None:
        """Refuse vectors of which more than one in twenty are not the model's.

        Raises:
            AdoptionError: says how many, how different, and what may be wrong.
        """
        wrong = len(self.differing) + len(self.unanswered)
        if wrong <= _MAY_DIFFER * (self.compared + len(self.unanswered)):
            return
        raise AdoptionError(
            f"{wrong} of {self.compared + len(self.unanswered)} rows of the sample do not have the"
            f" vector that {model!r} gives for their text ({len(self.unanswered)} texts it does not"
            f" take; lowest cosine {self.lowest:.4f}, {SAME} is asked for), as"
            f" {', '.join([*self.differing, *self.unanswered][:3])}. Nothing was stored. Either"
            " they were made by another --model, or with a prefix: give --document-prefix; or the"
            f" stored text is not what was embedded: then they cannot be adopted{remark}"
        )


def compare(
    rows: Sequence[Row], answers: Sequence[NDArray[np.float32] | None], dimensions: int
) -> Verdict:
    """Compare vectors with those that the model gives now; what is no vector is left out.

    Args:
        answers: of unit length, in the order of the rows; none where the text was refused.
    """
    found = [(row, answer) for row, answer in zip(rows, answers, strict=True) if answer is not None]
    theirs = sound([row.vector for row, _ in found if row.vector is not None], dimensions)
    pairs = [found[i] for i in theirs.positions]
    cosines = [float(t @ a) for t, (_, a) in zip(theirs.matrix, pairs, strict=True)]
    by_cosine = sorted(zip(cosines, (row.id for row, _ in pairs), strict=True))
    return Verdict(
        compared=len(pairs),
        differing=[row_id for cosine, row_id in by_cosine if cosine < SAME],
        lowest=by_cosine[0][0] if by_cosine else 1.0,
        unanswered=[row.id for row, answer in zip(rows, answers, strict=True) if answer is None],
    )
